package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"time"

	"vicreg/pipeline/stats"
	"vicreg/server/index/near"
)

// duplicates compares near-duplicate search with comparing all pairs, which must give the same
// result: on vectors of images, and on some random directions, which have no structure to exploit.
// On the large set it is only timed, as all pairs would take hours.
func duplicates(ctx context.Context, b *bench) error {
	n := b.small()
	images, err := b.matrix(ctx, n)
	if err != nil {
		return err
	}
	if err := b.beside(ctx, "", images, 0.999, 0.995, 0.9); err != nil {
		return err
	}
	if err := b.beside(ctx, "_any", anyDirections(n/5, b.vectors.dim), 0.5, 0.9); err != nil {
		return err
	}
	for _, n := range b.sizes() {
		if err := b.program(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// matrix returns the first n vectors, normalised to length 1.
func (b *bench) matrix(ctx context.Context, n int) (m stats.Matrix, err error) {
	if err := b.need(ctx, n); err != nil {
		return m, err
	}
	m = stats.New(n, b.vectors.dim)
	return m, b.vectors.read(b.vectors.base, n, func(i int, x []float32) error {
		copy(m.Row(i), x)
		stats.Unit(m.Row(i))
		return nil
	})
}

// anyDirections returns unrelated random unit vectors.
func anyDirections(n, dim int) stats.Matrix {
	m, r := stats.New(n, dim), rand.New(rand.NewPCG(4, 4))
	for i := range m.Data {
		m.Data[i] = float32(r.NormFloat64())
	}
	for i := range n {
		stats.Unit(m.Row(i))
	}
	return m
}

// beside runs near.Join before and after comparing all pairs, so that background load affects both.
func (b *bench) beside(ctx context.Context, suffix string, m stats.Matrix, thresholds ...float32) error {
	say("%d vectors%s:", m.N, map[string]string{"_any": " of all directions"}[suffix])
	for _, least := range thresholds {
		var seconds [3]float64
		var answers [3][]int
		for turn := range seconds {
			begin := time.Now()
			var err error
			if turn == 1 {
				answers[turn], err = plain(ctx, m, least)
			} else {
				answers[turn], err = near.Join(ctx, m, least, func(int) {})
			}
			if err != nil {
				return err
			}
			seconds[turn] = time.Since(begin).Seconds()
		}
		if !slices.Equal(answers[0], answers[1]) || !slices.Equal(answers[2], answers[1]) {
			return fmt.Errorf("%d vectors%s from %v: the answers are not the same", m.N, suffix, least)
		}
		ours := (seconds[0] + seconds[2]) / 2
		say("  from %v: %.2f s, all pairs %.2f, %.1f times that; %d are joined to others", least, ours, seconds[1], seconds[1]/ours, joined(answers[1]))
		b.figures.Add(fmt.Sprintf("duplicates_%v_s%s", least, suffix), ours)
		b.figures.Add(fmt.Sprintf("duplicates_%v_ratio%s", least, suffix), seconds[1]/ours)
	}
	extra, err := kept(ctx, m, thresholds[0])
	say("  memory beside the vectors, from %v: %.1f bytes each", thresholds[0], extra)
	b.figures.Add("duplicates_bytes"+suffix, extra)
	return err
}

func joined(roots []int) (n int) {
	for i, root := range roots {
		if root != i {
			n++
		}
	}
	return n
}

// kept returns the memory in use by a join halfway through, in bytes per vector.
func kept(ctx context.Context, m stats.Matrix, least float32) (extra float64, err error) {
	var once sync.Once
	before := inUse()
	_, err = near.Join(ctx, m, least, func(done int) {
		if done >= m.N/2 {
			once.Do(func() { extra = (inUse() - before) / float64(m.N) })
		}
	})
	return extra, err
}

// inUse returns the live heap, in bytes.
func inUse() float64 {
	var s runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&s)
	return float64(s.HeapAlloc)
}

// program times vicreg index duplicates on an index of n vectors.
func (b *bench) program(ctx context.Context, n int) error {
	path, err := b.filled(ctx, n)
	if err != nil {
		return err
	}
	begin := time.Now()
	if out, err := exec.CommandContext(ctx, b.vicreg, "index", "duplicates", path, "--json").CombinedOutput(); err != nil {
		return fmt.Errorf("vicreg index duplicates: %w: %s", err, out)
	}
	took := time.Since(begin).Seconds()
	say("%d vectors: vicreg index duplicates takes %.1f s from start to end", n, took)
	b.figures.Add("duplicates_command_s"+b.suffix(n), took)
	return nil
}
