package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// ends is the outcome of the requests around a SIGTERM. A request without a single byte of an
// answer is pending until it is known whether it ever reached the server. A connection may end just
// as a request is sent on it: an idle one is closed, or one waiting to be accepted goes down with
// the listener. No server can prevent that, and clients resend such a request. It counts as such a
// race if the server exited cleanly, so that no handler was cut off, and its log, which has a line
// for every request that reached a handler, has
//   - no line for it, or
//   - one that says that its connection ended before the request was read (400) or answered (499),
//     and the connection had been idle: net/http considers one idle until it has read a whole
//     header.
//
// Otherwise it is lost.
type ends struct {
	mu                sync.Mutex
	answered, refused int
	unsent            int // no connection could be made: the server is gone
	pending           []pending
	lost, wrong       int // cut off after the first byte; incorrect
	faults            []error
}

// pending is a request by ID, and whether its connection had been idle.
type pending struct {
	id   string
	idle bool
}

// stops ends servers by SIGTERM under load.
func (f *faulty) stops(ctx context.Context) error {
	count := 10
	if f.quick {
		count = 2
	}
	messages, err := imageMessages(f.pictures, [2]string{"X-Request-Id", ""})
	if err != nil {
		return err
	}
	var errs []error
	sum, races := &ends{}, 0
	for range count {
		e, r, err := f.stopOnce(ctx, messages)
		if err != nil {
			errs = append(errs, err)
		}
		if e == nil {
			break
		}
		sum.answered, sum.refused, sum.unsent = sum.answered+e.answered, sum.refused+e.refused, sum.unsent+e.unsent
		sum.lost, sum.wrong, races = sum.lost+e.lost, sum.wrong+e.wrong, races+r
	}
	say("%d stops under load: %d requests answered, %d refused, %d found nobody; %d raced with the end of a connection, %d lost, %d wrong",
		count, sum.answered, sum.refused, sum.unsent, races, sum.lost, sum.wrong)
	f.lost, f.wrong = f.lost+sum.lost, f.wrong+sum.wrong
	f.figures.Add("faults_stop_races", float64(races))
	return errors.Join(errs...)
}

// stopOnce starts one server and stops it under load.
func (f *faulty) stopOnce(ctx context.Context, messages []*message) (e *ends, races int, err error) {
	c, err := f.start(ctx, "faults-stop", f.a)
	if err != nil {
		return nil, 0, err
	}
	e = &ends{}
	var clients sync.WaitGroup
	for range 16 {
		clients.Go(func() { e.client(f, c.addr, messages) })
	}
	time.Sleep(f.turn / 2) // of load
	err = c.stop()         // SIGTERM
	clients.Wait()
	races, gone := e.settle(c.log, err == nil)
	if err != nil {
		err = fmt.Errorf("the server ended with %w", err)
	}
	return e, races, errors.Join(err, gone)
}

// client sends requests until no one listens any more.
func (e *ends) client(f *faulty, addr string, messages []*message) {
	c := newClient(addr)
	c.careful = true
	defer c.close()
	for {
		number := f.numbers.Add(1)
		m := messages[number%uint64(len(messages))]
		r, err := c.try(m, number)
		if err == nil && r.status == 200 {
			err = f.judge(m, r)
		}
		if e.note(pending{fmt.Sprintf("%016x", number), c.old}, &c.reply, r, err) {
			return
		}
		if err != nil || r.status != 200 {
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// note counts one request; over reports that the server is gone.
func (e *ends) note(p pending, read, r *reply, err error) (over bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var never unsent
	switch {
	case errors.As(err, &never):
		e.unsent++
		return true
	case r == nil && !read.begun:
		e.pending = append(e.pending, p)
	case r == nil:
		e.lost++
		e.faults = append(e.faults, fmt.Errorf("an answer was cut off: %w", err))
	case err != nil:
		e.wrong++
		e.faults = append(e.faults, err)
	case r.status == 200:
		e.answered++
	case r.status == 503, r.status == 429:
		e.refused++
	default:
		e.wrong++
		e.faults = append(e.faults, fmt.Errorf("status %d %.200s", r.status, r.body))
	}
	return false
}

// settle classifies the pending requests.
func (e *ends) settle(log string, inOrder bool) (races int, err error) {
	text, err := os.ReadFile(log)
	if err != nil {
		return 0, err
	}
	seen := handled(text)
	for _, p := range e.pending {
		status, reached := seen[p.id]
		if inOrder && (!reached || p.idle && (status == 400 || status == 499)) {
			races++
			continue
		}
		e.lost++
		e.faults = append(e.faults, fmt.Errorf("request %s was sent and not answered; in the log it has status %d", p.id, status))
	}
	if len(e.faults) > 0 {
		err = fmt.Errorf("%d lost, %d wrong: %w", e.lost, e.wrong, errors.Join(e.faults[:min(len(e.faults), faultsKept)]...))
	}
	return races, err
}

// handled returns the statuses of the requests in a log, by ID.
func handled(log []byte) map[string]int {
	statuses := map[string]int{}
	for line := range bytes.Lines(log) {
		var entry struct {
			ID     string `json:"request_id"`
			Status int
		}
		if json.Unmarshal(line, &entry) == nil && entry.Status > 0 {
			statuses[entry.ID] = entry.Status
		}
	}
	return statuses
}
