package main

import (
	"context"
	"fmt"

	"vicreg/scripts/bench/peer"
)

// search compares with faiss, or NumPy, on up to two sets: single queries on one core, batches on
// two, and recall.
func search(ctx context.Context, b *bench) error {
	for _, n := range b.sizes() {
		path, err := b.filled(ctx, n)
		if err != nil {
			return err
		}
		if err := b.single(path, n); err != nil {
			return err
		}
		if n == b.small() {
			if err := b.together(path, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// single compares single queries on one core.
func (b *bench) single(path string, n int) error {
	sides, err := b.sides(path, n, 1, "flat", "sq8")
	defer stopAll(sides)
	if err != nil {
		return err
	}
	rates, err := b.alternate(sides, "single %g")
	if err != nil {
		return err
	}
	say("%d vectors, one query at a time, one thread:", n)
	b.against(sides, rates, "single", b.suffix(n))
	count := 200
	if n > b.small() {
		count = 100
	}
	if b.quick {
		count = 20
	}
	return b.recalls(sides, n, count)
}

// recalls compares each side's hits with the exact answer.
func (b *bench) recalls(sides []side, n, count int) error {
	t, err := b.vectors.newTruth(n, count)
	if err != nil {
		return err
	}
	for _, s := range sides {
		var a answer
		if err := s.Ask(fmt.Sprint("hits ", len(t.queries)), &a); err != nil {
			return err
		}
		r, err := t.recall(a.Hits)
		if err != nil {
			return err
		}
		say("  recall@%d of %s: %.4f (%d queries)", topK, s.Name, r, len(t.queries))
		b.figures.Add("recall"+s.label+b.suffix(n), r)
	}
	return nil
}

// together compares batches of queries, on two cores.
func (b *bench) together(path string, n int) error {
	sides, err := b.sides(path, n, 2, "flat", "numpy")
	defer stopAll(sides)
	if err != nil {
		return err
	}
	rates, err := b.alternate(sides, "batch 32 %g")
	if err != nil {
		return err
	}
	say("%d vectors, 32 queries at once, two threads:", n)
	b.against(sides, rates, "batch32", b.suffix(n))
	return nil
}

// side is a party of a comparison; its label identifies its figures, and is "" for ours.
type side struct {
	*peer.Process
	label string
}

// sides starts our side and the available peers.
func (b *bench) sides(path string, n, threads int, methods ...string) ([]side, error) {
	ours, _, err := b.ours(path, threads)
	if err != nil {
		return nil, err
	}
	sides := []side{{ours, ""}}
	if b.python == "" {
		say("there is no Python with the packages of the peers: nothing to compare with")
		return sides, nil
	}
	if !b.faiss {
		methods = []string{"numpy"}
	}
	for _, m := range methods {
		p, err := b.theirs(m, n, threads)
		if err != nil {
			return sides, err
		}
		sides = append(sides, side{p, "_" + m})
	}
	return sides, nil
}

func stopAll(sides []side) {
	for _, s := range sides {
		s.Stop()
	}
}

// alternate gives each side its turns of a command, which contains a duration in seconds, and
// returns the rates of each side. The first turn is warm-up.
func (b *bench) alternate(sides []side, command string) ([][]float64, error) {
	rates := make([][]float64, len(sides))
	for round := range b.rounds + 1 {
		seconds := b.turn.Seconds()
		if round == 0 {
			seconds /= 4
		}
		for i, s := range sides {
			var a answer
			if err := s.Ask(fmt.Sprintf(command, seconds), &a); err != nil {
				return nil, err
			}
			if round > 0 {
				rates[i] = append(rates[i], a.rate())
			}
		}
	}
	return rates, nil
}

// against prints and records the medians of the rates, and of our rate over each peer's within a
// round: the ratio to the first peer is the main one.
func (b *bench) against(sides []side, rates [][]float64, key, suffix string) {
	for i, s := range sides {
		b.figures.Add(key+"_qps"+s.label+suffix, peer.Median(rates[i]))
		if i == 0 {
			say("  %-22s %8.1f queries/s", s.Name, peer.Median(rates[i]))
			continue
		}
		over := paired(rates[0], rates[i])
		say("  %-22s %8.1f queries/s, ours over it %.2f", s.Name, peer.Median(rates[i]), over)
		if i == 1 {
			b.figures.Add(key+"_ratio"+suffix, over)
		} else {
			b.figures.Add(key+"_ratio"+s.label+suffix, over)
		}
	}
}

// paired returns the median of ours over theirs, with the ratio taken in each round.
func paired(ours, theirs []float64) float64 {
	var ratios []float64
	for i := range ours {
		ratios = append(ratios, ours[i]/theirs[i])
	}
	return peer.Median(ratios)
}
