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

// load is what clients send to one server, in turn, and what they make of answers.
type load struct {
	addr     string
	messages []*message
	numbers  *atomic.Uint64 // of the messages sent so far: each gets one of its own
	// judge looks at every answer; its error makes the answer a wrong one. It is
	// called by many goroutines. nil takes every answer for right.
	judge   func(*message, *reply) error
	answers atomic.Int64 // so far
}

// sample is what became of one request. Times are since the load began.
type sample struct {
	due, sent, done time.Duration // due: when it was to be sent
	status          int           // 0 when there was no answer
	wrong           bool
	batch           int
	spans           [3]float32 // decode, queue, infer in milliseconds
	promise         time.Duration
}

// outcome is what became of a load.
type outcome struct {
	samples []sample
	stale   int
	faults  []error // the first few of what went wrong
}

// faultsKept is how many errors are worth showing.
const faultsKept = 3

// closed lets clients send one request after the other until ctx ends, and wait as
// long as a refusal says. What is under way then is waited for.
func (l *load) closed(ctx context.Context, clients int) *outcome {
	begin := time.Now()
	return l.run(clients, func(c *client, o *outcome) {
		for n := l.numbers.Add(1); ctx.Err() == nil; n = l.numbers.Add(1) {
			switch s := l.one(c, o, n, begin, time.Since(begin)); {
			case s.status == 0:
				time.Sleep(10 * time.Millisecond) // a server that is away is not hammered
			case s.promise > 0:
				time.Sleep(min(s.promise, time.Second))
			}
		}
	})
}

// open sends requests at the times of a schedule, whatever became of those before.
// One that finds no client free is sent late, and its delay counts: a latency is
// that since the request was due.
func (l *load) open(ctx context.Context, schedule []time.Duration, clients int) *outcome {
	due := make(chan time.Duration, len(schedule))
	begin := time.Now()
	go func() {
		defer close(due)
		runtime.LockOSThread() // the runtime's timers are a millisecond coarse
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

// run gives each client an outcome of its own and returns them as one.
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

// one sends the message that is next and notes what came of it.
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

// note takes down what the headers of an answer tell.
func (s *sample) note(r *reply) {
	if r.status != 200 {
		s.promise, _ = r.promises()
		return
	}
	s.spans = spans(r.header("Server-Timing"))
	s.batch, _ = strconv.Atoi(r.header("X-Batch-Size"))
}

// poisson is a schedule of arrivals that know nothing of each other, rate a second.
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
