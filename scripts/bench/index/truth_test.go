package main

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"vicreg/pipeline/vectors"
)

// made writes n random base vectors and three queries.
func made(t *testing.T, n int) *embedded {
	t.Helper()
	dir := t.TempDir()
	v := &embedded{dim: 8, center: make([]float32, 8), base: filepath.Join(dir, "base"), asked: filepath.Join(dir, "asked")}
	v.center[2] = 0.5
	r := rand.New(rand.NewPCG(1, 2))
	for path, rows := range map[string]int{v.base: n, v.asked: 3} {
		x := make([]float32, rows*v.dim)
		for i := range x {
			x[i] = float32(r.NormFloat64())
		}
		if err := os.WriteFile(path, vectors.Append(nil, x), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

func TestTruth(t *testing.T) {
	const n = 5000 // more than a block
	v := made(t, n)
	truth, err := v.newTruth(n, 3)
	if err != nil {
		t.Fatal(err)
	}
	var scores [3][]float64
	unit := make([]float64, v.dim)
	err = v.read(v.base, n, func(_ int, x []float32) error {
		v.unit(unit, x)
		for q := range scores {
			sum := 0.0
			for i := range unit {
				sum += unit[i] * truth.queries[q][i]
			}
			scores[q] = append(scores[q], sum)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	hits := make([][]int, 3)
	for q, of := range scores {
		order := make([]int, n)
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(a, b int) int { return int(1e9 * (of[b] - of[a])) })
		hits[q] = order[:topK]
		if got, want := truth.tenth[q], of[order[topK-1]]; math.Abs(got-want) > 1e-12 {
			t.Errorf("the tenth score of query %d is %v, want %v", q, got, want)
		}
	}
	if got, err := truth.recall(clone(hits)); err != nil || got != 1 {
		t.Errorf("recall of the truth: %v, %v", got, err)
	}
	hits[1][4] = hits[1][5] // a duplicate
	if got, _ := truth.recall(clone(hits)); got != 29./30 {
		t.Errorf("recall with one twice: %v", got)
	}
	hits[0] = hits[0][:8]
	if got, _ := truth.recall(clone(hits)); got != 27./30 {
		t.Errorf("recall with two missing: %v", got)
	}
}

func clone(hits [][]int) (copies [][]int) {
	for _, h := range hits {
		copies = append(copies, slices.Clone(h))
	}
	return copies
}
