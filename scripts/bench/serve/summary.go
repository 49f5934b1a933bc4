package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"vicreg/scripts/bench/peer"
)

// summary is a load in figures: over the answers with status 200 that were completed in the given
// interval.
type summary struct {
	count          int
	rate           float64 // per second
	p50, p99, p999 time.Duration
	spans          [3]float64 // mean of decode, queue, infer in milliseconds
	batch          float64    // mean size
}

// summarise covers what was completed between two times.
func (o *outcome) summarise(from, to time.Duration) (s summary) {
	var latencies, done []time.Duration
	for _, x := range o.samples {
		if x.status != 200 || x.done >= to {
			continue
		}
		done = append(done, x.done)
		if x.done < from {
			continue
		}
		latencies = append(latencies, x.done-x.due)
		for i, ms := range x.spans {
			s.spans[i] += float64(ms)
		}
		s.batch += float64(x.batch)
	}
	s.count = len(latencies)
	s.rate = rate(done, from)
	for i := range s.spans {
		s.spans[i] /= float64(s.count)
	}
	s.batch /= float64(s.count)
	slices.Sort(latencies)
	s.p50, s.p99, s.p999 = peer.Percentile(latencies, 0.5), peer.Percentile(latencies, 0.99), peer.Percentile(latencies, 0.999)
	return s
}

// rate returns the answers per second from the last one before from to the last of all: answers
// arrive in batches, and a window with arbitrary ends would be off by part of one.
func rate(done []time.Duration, from time.Duration) float64 {
	if len(done) == 0 {
		return 0
	}
	slices.Sort(done)
	first, _ := slices.BinarySearch(done, from)
	begin := from
	if first > 0 {
		begin = done[first-1]
	}
	n := len(done) - first
	if n == 0 {
		return 0
	}
	return float64(n) / (done[len(done)-1] - begin).Seconds()
}

// late returns the 99th percentile of the generator's own delay behind its schedule.
func (o *outcome) late() time.Duration {
	var late []time.Duration
	for _, x := range o.samples {
		late = append(late, x.sent-x.due)
	}
	slices.Sort(late)
	return peer.Percentile(late, 0.99)
}

// statuses counts the answers by status; 0 means no answer, -1 a wrong one of any status.
func (o *outcome) statuses() map[int]int {
	counts := map[int]int{}
	for _, x := range o.samples {
		if x.wrong {
			counts[-1]++
		} else {
			counts[x.status]++
		}
	}
	return counts
}

// bad returns the number of requests without an answer, with a wrong one, with a status that is not
// allowed, or that had to be resent: no server here has a reason to close a connection. err
// describes a few.
func (o *outcome) bad(allowed ...int) (n int, err error) {
	var list []string
	if n = o.stale; n > 0 {
		list = append(list, fmt.Sprintf("%d had to be sent again", n))
	}
	for status, count := range o.statuses() {
		if !slices.Contains(allowed, status) {
			n += count
			list = append(list, fmt.Sprintf("%d with %s", count, called(status)))
		}
	}
	if n == 0 {
		return 0, nil
	}
	slices.Sort(list)
	for _, fault := range o.faults {
		list = append(list, fault.Error())
	}
	return n, fmt.Errorf("%d of %d requests went wrong: %s", n, len(o.samples), strings.Join(list, "; "))
}

func called(status int) string {
	switch status {
	case 0:
		return "no answer"
	case -1:
		return "a wrong answer"
	}
	return fmt.Sprintf("status %d", status)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
