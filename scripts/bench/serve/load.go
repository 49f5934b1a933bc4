package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// load is the requests that clients send to one server in turn, and how answers are judged.
type load struct {
	addr     string
	messages []*message
	numbers  *atomic.Uint64 // of messages sent so far: each gets a unique number
	// judge checks every answer; an error marks the answer as wrong. It is called concurrently. nil
	// accepts every answer.
	judge   func(*message, *reply) error
	answers atomic.Int64 // so far
}

// sample is the outcome of one request. Times are relative to the start of the load.
type sample struct {
	due, sent, done time.Duration // due: scheduled time of sending
	status          int           // 0 when there was no answer
	wrong           bool
	batch           int
	spans           [3]float32 // decode, queue, infer in milliseconds
	promise         time.Duration
}

// outcome is the result of a load.
type outcome struct {
	samples []sample
	stale   int
	faults  []error // the first few errors
}

// faultsKept is the number of errors to show.
const faultsKept = 3

// closed runs clients that send one request after another until ctx ends, and wait as long as a
// refusal says. Requests in progress at the end are completed.
func (l *load) closed(ctx context.Context, clients int) *outcome {
	begin := time.Now()
	return l.run(clients, func(c *client, o *outcome) {
		for n := l.numbers.Add(1); ctx.Err() == nil; n = l.numbers.Add(1) {
			switch s := l.one(c, o, n, begin, time.Since(begin)); {
			case s.status == 0:
				time.Sleep(10 * time.Millisecond) // an absent server is not hammered
			case s.promise > 0:
				time.Sleep(min(s.promise, time.Second))
			}
		}
	})
}

// open sends requests on a schedule, regardless of the outcome of earlier ones. If no client is
// free, a request is sent late and the delay counts: latency is measured from the scheduled time.
func (l *load) open(ctx context.Context, schedule []time.Duration, clients int) *outcome {
	due := make(chan time.Duration, len(schedule))
	begin := time.Now()
	go func() {
		defer close(due)
		runtime.LockOSThread() // the runtime's timers have millisecond resolution
		defer runtime.UnlockOSThread()
		for _, at := range schedule {
			pause(at - time.Since(begin))
			if ctx.Err() != nil {
				return
			}
			due <- at
		}
	}()
	return l.run(clients, func(c *client, o *outcome) {
		for at := range due {
			l.one(c, o, l.numbers.Add(1), begin, at)
		}
	})
}

// run gives each client its own outcome and returns them merged.
func (l *load) run(clients int, work func(*client, *outcome)) *outcome {
	parts := make([]outcome, clients)
	var all sync.WaitGroup
	for i := range parts {
		all.Go(func() {
			c := newClient(l.addr)
			defer c.close()
			work(c, &parts[i])
			parts[i].stale = c.stale
		})
	}
	all.Wait()
	sum := &outcome{}
	for _, p := range parts {
		sum.samples = append(sum.samples, p.samples...)
		sum.stale += p.stale
		sum.faults = append(sum.faults, p.faults...)
	}
	sum.faults = sum.faults[:min(len(sum.faults), faultsKept)]
	return sum
}

// one sends the next message and records its outcome.
func (l *load) one(c *client, o *outcome, number uint64, begin time.Time, due time.Duration) sample {
	m := l.messages[number%uint64(len(l.messages))]
	s := sample{due: due, sent: time.Since(begin)}
	r, err := c.do(m, number)
	s.done = time.Since(begin)
	l.answers.Add(1)
	if err == nil {
		s.status = r.status
		s.note(r)
		if l.judge != nil {
			err = l.judge(m, r)
			s.wrong = err != nil
		}
	}
	if err != nil && len(o.faults) < faultsKept {
		o.faults = append(o.faults, fmt.Errorf("%s: %w", m.kind, err))
	}
	o.samples = append(o.samples, s)
	return s
}

// note records the headers of an answer.
func (s *sample) note(r *reply) {
	if r.status != 200 {
		s.promise, _ = r.promises()
		return
	}
	s.spans = spans(r.header("Server-Timing"))
	s.batch, _ = strconv.Atoi(r.header("X-Batch-Size"))
}

// poisson returns a schedule of independent arrivals at rate per second.
func poisson(rate float64, length time.Duration, seed uint64) (schedule []time.Duration) {
	r := rand.New(rand.NewPCG(seed, 1))
	for at := 0.0; ; {
		at += r.ExpFloat64() / rate
		if at >= length.Seconds() {
			return schedule
		}
		schedule = append(schedule, time.Duration(at*float64(time.Second)))
	}
}
