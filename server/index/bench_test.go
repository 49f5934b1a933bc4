package index

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// BenchmarkSearch finds the 10 best of 100,000 vectors of 512 numbers, on one core. The bytes are
// those of all codes; sketches help only with one of the kinds.
func BenchmarkSearch(b *testing.B) {
	const dim, items = 512, 100_000
	kinds := map[string]func(*rand.Rand, int) []float32{"any": vectors["any"], "positive": vectors["positive"], "sketched": sketched["near a few dimensions"]}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		r := rand.New(rand.NewPCG(1, 2))
		c := newCollection(dim)
		unit := func() []float32 {
			u, err := Binding{Dim: dim}.unit(kinds[kind](r, dim))
			if err != nil {
				b.Fatal(err)
			}
			return u
		}
		for i := range items {
			c.places[fmt.Sprint(i)] = c.add(int64(i), fmt.Sprint(i), newRow(unit()), must(c.fields.Encode([]byte("{}"))))
		}
		c.finish()
		c.sketch(context.Background(), always)
		s := c.snapshot()
		for _, n := range []int{1, 32} {
			queries := make([][]float32, n)
			for i := range queries {
				queries[i] = unit()
			}
			b.Run(fmt.Sprintf("%s/queries=%d", kind, n), func(b *testing.B) {
				b.SetBytes(items * dim)
				for b.Loop() {
					probes := make([]*probe, n)
					for i, q := range queries {
						probes[i] = newProbe(q, 10, -1)
					}
					if _, err := s.search(context.Background(), probes, 1); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "queries/s")
			})
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
