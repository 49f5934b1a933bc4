package main

import (
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"
)

// truth is the exact answer to some queries, computed in double precision.
type truth struct {
	v       *embedded
	queries [][]float64
	tenth   []float64 // the lowest score among the topK, by query
	n       int
}

// tie is the difference up to which scores are considered equal: the rounding error of 512 products
// in single precision.
const tie = 1e-6

// newTruth compares the first count queries with the first n indexed vectors, one after another.
func (v *embedded) newTruth(n, count int) (*truth, error) {
	asked, err := v.queries()
	if err != nil {
		return nil, err
	}
	t := &truth{v: v, n: n, queries: make([][]float64, min(count, len(asked)))}
	best := make([][]float64, len(t.queries))
	for i := range t.queries {
		t.queries[i] = make([]float64, v.dim)
		v.unit(t.queries[i], asked[i])
	}
	err = v.read(v.base, n, blocks(v.dim, func(rows []float32) error {
		var group errgroup.Group
		group.SetLimit(runtime.GOMAXPROCS(0))
		units := make([]float64, len(rows))
		for at := 0; at < len(rows); at += v.dim {
			v.unit(units[at:at+v.dim], rows[at:at+v.dim])
		}
		for i, q := range t.queries {
			group.Go(func() error {
				best[i] = keepBest(best[i], q, units)
				return nil
			})
		}
		return group.Wait()
	}, n))
	for _, scores := range best {
		t.tenth = append(t.tenth, scores[len(scores)-1])
	}
	return t, err
}

// blocks collects n rows and calls each with many at once.
func blocks(dim int, each func(rows []float32) error, n int) func(int, []float32) error {
	const most = 2048
	var rows []float32
	return func(i int, x []float32) error {
		rows = append(rows, x...)
		if len(rows) < most*dim && i+1 < n {
			return nil
		}
		full := rows
		rows = rows[:0]
		return each(full)
	}
}

// keepBest updates the topK best scores, best first, with those of more rows.
func keepBest(best, query, rows []float64) []float64 {
	for at := 0; at < len(rows); at += len(query) {
		score := product(query, rows[at:at+len(query)])
		if len(best) == topK && score <= best[topK-1] {
			continue
		}
		i, _ := slices.BinarySearchFunc(best, score, func(a, b float64) int {
			if a > b {
				return -1
			}
			return 1
		})
		best = slices.Insert(best, i, score)
		best = best[:min(len(best), topK)]
	}
	return best
}

// product returns the dot product of two vectors, in double precision.
func product(a, b []float64) float64 {
	var s [4]float64
	b = b[:len(a)]
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s[0] += a[i] * b[i]
		s[1] += a[i+1] * b[i+1]
		s[2] += a[i+2] * b[i+2]
		s[3] += a[i+3] * b[i+3]
	}
	for ; i < len(a); i++ {
		s[0] += a[i] * b[i]
	}
	return s[0] + s[1] + s[2] + s[3]
}

// recall returns the fraction of the answers that hits contain: distinct rows whose recomputed
// score is among the best, or ties with the last of them.
func (t *truth) recall(hits [][]int) (float64, error) {
	wanted := map[int][]float64{}
	for _, rows := range hits {
		for _, row := range rows {
			wanted[row] = nil
		}
	}
	err := t.v.read(t.v.base, t.n, func(i int, x []float32) error {
		if _, ok := wanted[i]; ok {
			wanted[i] = make([]float64, t.v.dim)
			t.v.unit(wanted[i], x)
		}
		return nil
	})
	good := 0
	for i, rows := range hits {
		slices.Sort(rows)
		for _, row := range slices.Compact(rows) {
			if unit := wanted[row]; unit != nil && product(t.queries[i], unit) >= t.tenth[i]-tie {
				good++
			}
		}
	}
	return float64(good) / float64(topK*len(t.queries)), err
}
