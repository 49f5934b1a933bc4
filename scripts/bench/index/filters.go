package main

import (
	"context"
	"fmt"

	"vicreg/scripts/bench/peer"
)

// buckets is the number of values that items are assigned at random, for filters that keep a known
// fraction of them.
const buckets = 100

// filters compares filtered with unfiltered searches, on one core.
func filters(ctx context.Context, b *bench) error {
	n := b.small()
	path, err := b.filled(ctx, n)
	if err != nil {
		return err
	}
	ours, _, err := b.ours(path, 1)
	if err != nil {
		return err
	}
	defer ours.Stop()
	shares := []int{1, 10, 50}
	rates := make([][]float64, len(shares)+1)
	for round := range b.rounds + 1 {
		for i := range rates {
			command := fmt.Sprintf("single %g", b.turn.Seconds())
			if i > 0 {
				command = fmt.Sprintf(`filter %g {"bucket":{"$lt":%d}}`, b.turn.Seconds(), shares[i-1]*buckets/100)
			}
			var a answer
			if err := ours.Ask(command, &a); err != nil {
				return err
			}
			if round > 0 {
				rates[i] = append(rates[i], a.rate())
			}
		}
	}
	say("%d vectors, one query at a time, one thread: %.1f queries/s without a filter", n, peer.Median(rates[0]))
	b.figures.Add("filter_none_qps", peer.Median(rates[0]))
	for i, share := range shares {
		slower := paired(rates[0], rates[i+1])
		say("  a filter that keeps %2d %%: %.1f queries/s, %.2f of the time without", share, peer.Median(rates[i+1]), slower)
		b.figures.Add(fmt.Sprintf("filter_%d_time", share), slower)
	}
	return nil
}
