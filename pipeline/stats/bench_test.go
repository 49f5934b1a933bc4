package stats

import (
	"math/rand/v2"
	"testing"
)

func random(n, d int) Matrix {
	r, m := rand.New(rand.NewPCG(1, 2)), New(n, d)
	for i := range m.Data {
		m.Data[i] = float32(r.NormFloat64())
	}
	return m
}

func BenchmarkNeighbors(b *testing.B) {
	base, queries := random(10_000, 512), random(1_000, 512)
	for b.Loop() {
		Neighbors(base, queries, 200)
	}
}

func BenchmarkRankMe(b *testing.B) {
	m := random(4_000, 512)
	for b.Loop() {
		RankMe(m)
	}
}

func BenchmarkMeanAbsCorrelation(b *testing.B) {
	m := random(1_000, 2048)
	for b.Loop() {
		MeanAbsCorrelation(m)
	}
}
