package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"syscall"
	"time"
)

// reloads repeatedly replaces the model of a server under load.
func (f *faulty) reloads(ctx context.Context) error {
	if !f.knows("watch") {
		say("SKIPPED: this vicreg serve does not load a changed model")
		return nil
	}
	count := 100
	if f.quick {
		count = 4
	}
	if err := f.put(f.a); err != nil {
		return err
	}
	c, err := f.start(ctx, "faults-reload", f.live())
	if err != nil {
		return err
	}
	defer c.stop()
	limited, enough := context.WithCancel(ctx)
	defer enough()
	done := make(chan *outcome, 1)
	go func() { done <- f.judged(c).closed(limited, 8) }()
	begin := time.Now()
	for i := 1; i <= count; i++ {
		if err = f.reload(ctx, c, i%2); err != nil {
			err = fmt.Errorf("change %d of the model: %w", i, err)
			break
		}
	}
	took := time.Since(begin)
	enough()
	o := <-done
	s := o.summarise(0, math.MaxInt64)
	say("%d changes of the model in %.1f s beside %d requests: p50 %.1f ms, p99 %.1f ms", count, took.Seconds(), s.count, ms(s.p50), ms(s.p99))
	f.figures.Add("faults_reloads", float64(count))
	f.figures.Add("faults_reload_ms", ms(took)/float64(count))
	return errors.Join(err, f.count(o, 200))
}

// reload puts one of the two models in place and waits until the server uses it.
func (f *faulty) reload(ctx context.Context, c *child, which int) error {
	if err := f.put([]string{f.a, f.b}[which]); err != nil {
		return err
	}
	if err := c.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		return err
	}
	asker := newClient(c.addr)
	defer asker.close()
	for end := time.Now().Add(time.Minute); time.Now().Before(end) && ctx.Err() == nil; {
		r, err := asker.do(get("/info"), 0)
		if err != nil {
			return err
		}
		var info struct{ Fingerprint string }
		if err := json.Unmarshal(r.body, &info); err != nil {
			return fmt.Errorf("GET /info: %d %.200s", r.status, r.body)
		}
		if info.Fingerprint == f.prints[which] {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return errors.New("the server did not load it within a minute")
}
