package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
	"vicreg/scripts/bench/peer"
)

// overloadDeadline is the deadline of the overloaded server.
const overloadDeadline = 2 * time.Second

// overload sends three times what the server can handle: accepted requests must be answered in
// time, and the others refused with a time to retry after.
func overload(ctx context.Context, b *bench) error {
	model, err := b.model("resnet18")
	if err != nil {
		return err
	}
	messages, err := imageMessages(b.pictures)
	if err != nil {
		return err
	}
	c, err := b.serve(ctx, b.server, model, b.logFile("overload"), "--deadline", overloadDeadline.String())
	if err != nil {
		return err
	}
	defer c.stop()
	capacity, err := b.measure(ctx, b.load(c, messages), 8, 429) // more would exceed the deadline
	if err != nil {
		return fmt.Errorf("at its capacity: %w", err)
	}
	say("capacity: %.1f images/s", capacity.rate)
	return errors.Join(b.flood(ctx, c, messages, capacity.rate), b.retries(ctx, c, capacity.rate))
}

// flood applies the overload.
func (b *bench) flood(ctx context.Context, c *child, messages []*message, capacity float64) error {
	length := time.Minute
	if b.quick {
		length = 2 * time.Second
	}
	o := b.load(c, messages).open(ctx, poisson(3*capacity, length, 2), 1024)
	counts, s := o.statuses(), o.summarise(0, math.MaxInt64)
	share := func(status int) float64 { return float64(counts[status]) / float64(len(o.samples)) }
	inTime := o.summarise(0, length)
	say("%.0f requests/s for %v: %.1f %% answered, %.1f %% refused; those answered: %.2f of the capacity, p50 %.0f ms, p99 %.0f ms from when they were due",
		3*capacity, length, 100*share(200), 100*share(429), inTime.rate/capacity, ms(s.p50), ms(s.p99))
	b.figures.Add("overload_p50_ms", ms(s.p50))
	b.figures.Add("overload_p99_ms", ms(s.p99))
	b.figures.Add("overload_answered", share(200))
	b.figures.Add("overload_refused", share(429))
	b.figures.Add("overload_goodput", inTime.rate/capacity)
	o.sayPromises()
	other, err := o.bad(200, 429)
	b.figures.Add("overload_failed", float64(other))
	return err
}

// sayPromises reports the retry times of the refusals, and the latency of the refusals.
func (o *outcome) sayPromises() {
	var promises, took []time.Duration
	for _, x := range o.samples {
		if x.status == 429 {
			took = append(took, x.done-x.sent)
		}
		if x.promise > 0 {
			promises = append(promises, x.promise)
		}
	}
	slices.Sort(promises)
	slices.Sort(took)
	say("  %d of %d refusals have a Retry-After-Ms: median %.0f, from %.0f to %.0f; a refusal takes p50 %.1f ms, p99 %.1f ms", len(promises), len(took),
		ms(peer.Percentile(promises, 0.5)), ms(peer.Percentile(promises, 0)), ms(peer.Percentile(promises, 1)), ms(peer.Percentile(took, 0.5)), ms(peer.Percentile(took, 0.99)))
}
