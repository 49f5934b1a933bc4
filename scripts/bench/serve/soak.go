package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// soak sends every kind of request for a long time, and monitors the server's memory.
func soak(ctx context.Context, b *bench) error {
	model, err := b.model("resnet18")
	if err != nil {
		return err
	}
	messages, err := b.mixture()
	if err != nil {
		return err
	}
	c, err := b.serve(ctx, b.server, model, b.logFile("soak"))
	if err != nil {
		return err
	}
	defer c.stop()
	ctx, cancel := context.WithTimeout(ctx, time.Duration(b.minutes*float64(time.Minute)))
	defer cancel()
	l := b.load(c, messages)
	l.judge = func(m *message, r *reply) error {
		if !slices.Contains(m.statuses, r.status) {
			return fmt.Errorf("status %d %.200s", r.status, r.body)
		}
		return nil
	}
	var others sync.WaitGroup
	for _, manners := range []manner{leavesInTheBody, leavesBeforeTheAnswer} {
		others.Go(func() { manners.practise(ctx, c.addr, messages[0], time.Second/4) })
	}
	var memory []point
	others.Go(func() { memory = c.watch(ctx, b.every()) })
	o := l.closed(ctx, 8)
	others.Wait()
	return b.sayMemory(o, memory)
}

// mixture returns one message for each kind and image; good ones are the most frequent.
func (b *bench) mixture() ([]*message, error) {
	all, err := imageMessages(b.pictures)
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		m.statuses = []int{200}
	}
	octets := [2]string{"Content-Type", "application/octet-stream"}
	add := func(kind string, m *message, statuses ...int) {
		m.kind, m.statuses = kind, statuses
		all = append(all, m)
	}
	for i, p := range b.pictures {
		bad, next := spoiled(p), b.pictures[(i+1)%len(b.pictures)]
		switch i % 5 {
		case 0:
			add("json", jsonMessage(p.data, next.data, bad["text"]), 200)
			add("bomb", post("/embed", bad["bomb"], nil, octets), 422)
		case 1:
			add("form", formMessage(p.data, bad["truncated"], next.data), 200)
			add("no JSON", post("/embed", bad["text"], nil, [2]string{"Content-Type", "application/json"}), 400)
		case 2:
			add("truncated", post("/embed", bad["truncated"], nil, octets), 422)
			add("text", post("/embed", bad["text"], nil, octets), 422)
		case 3:
			add("bits turned over", post("/embed", flipped(p, uint64(i)), nil, octets), 200, 422)
		case 4:
			add("wrong type", post("/embed", p.data, nil, [2]string{"Content-Type", "text/plain"}), 415)
			add("nothing", post("/embed", nil, nil, octets), 422)
		}
	}
	return all, nil
}

// every is the interval at which memory is sampled.
func (b *bench) every() time.Duration {
	if b.quick {
		return 200 * time.Millisecond
	}
	return 5 * time.Second
}

// point is a measurement at a time.
type point struct{ x, y float64 }

// watch records the resident megabytes of a process over minutes until ctx ends.
func (c *child) watch(ctx context.Context, every time.Duration) (all []point) {
	begin, tick := time.Now(), time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return all
		case <-tick.C:
			if bytes, err := c.rss(); err == nil {
				all = append(all, point{time.Since(begin).Minutes(), bytes / 1e6})
			}
		}
	}
}

// sayMemory reports the growth of the memory. The first third of the time is excluded, as
// long-lived memory is allocated then.
func (b *bench) sayMemory(o *outcome, memory []point) error {
	if len(memory) < 6 {
		return fmt.Errorf("the memory of the server was seen %d times", len(memory))
	}
	late := memory[len(memory)/3:]
	grows, last := slope(late), memory[len(memory)-1]
	say("%d requests in %.1f minutes, statuses %v; memory %.0f MB after a third of the time, %.0f MB at the end, grows by %.3f MB a minute",
		len(o.samples), last.x, o.statuses(), late[0].y, last.y, grows)
	b.figures.Add("soak_minutes", last.x)
	b.figures.Add("soak_requests", float64(len(o.samples)))
	b.figures.Add("soak_mb_a_minute", grows)
	b.figures.Add("soak_rss_mb", last.y)
	unexpected, err := o.bad(200, 400, 415, 422)
	b.figures.Add("soak_unexpected", float64(unexpected))
	return err
}

// slope returns the slope of the least-squares line through points.
func slope(points []point) float64 {
	var mx, my, xx, xy float64
	for _, p := range points {
		mx, my = mx+p.x/float64(len(points)), my+p.y/float64(len(points))
	}
	for _, p := range points {
		xx, xy = xx+(p.x-mx)*(p.x-mx), xy+(p.x-mx)*(p.y-my)
	}
	return xy / xx
}
