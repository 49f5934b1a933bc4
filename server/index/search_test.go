package index

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"vicreg/server/index/filter"
	"vicreg/server/index/scan"
)

// vectors are kinds of vectors that make a search by codes hard.
var vectors = map[string]func(r *rand.Rand, dim int) []float32{
	"any": func(r *rand.Rand, dim int) []float32 { return some(dim, r.NormFloat64) },
	"positive": func(r *rand.Rand, dim int) []float32 { // as after a ReLU
		return some(dim, func() float64 { return max(0, 0.5+r.NormFloat64()) })
	},
	"all but equal": func(r *rand.Rand, dim int) []float32 { // differ by less than a code resolves
		return some(dim, func() float64 { return 1 + 1e-4*r.NormFloat64() })
	},
	"equal": func(r *rand.Rand, dim int) []float32 {
		v := make([]float32, dim)
		v[r.IntN(3)] = 1
		return v
	},
	"one large": func(r *rand.Rand, dim int) []float32 { // leaves few codes for the others
		v := some(dim, r.NormFloat64)
		v[0] = 100
		return v
	},
}

func some(dim int, number func() float64) []float32 {
	v := make([]float32, dim)
	for i := range v {
		v[i] = float32(number())
	}
	return v
}

// A search returns exactly what comparing all vectors does, in the same order and with the same
// scores.
func TestSearchIsExact(t *testing.T) {
	const dim, items = 48, 6000
	b := Binding{Dim: dim}
	for name, vector := range vectors {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(3, 4))
			c := newCollection(dim)
			for i := range items {
				unit, err := b.unit(vector(r, dim))
				if err != nil {
					t.Fatal(err)
				}
				meta, err := c.fields.Encode(fmt.Appendf(nil, `{"i": %d, "tenth": %t, "most": %t}`, i, i%10 == 0, i%10 > 0))
				if err != nil {
					t.Fatal(err)
				}
				row := newRow(unit)
				c.apply([]change{{id: fmt.Sprint("id", i%5500), key: int64(i), row: &row, meta: meta}})
			}
			s := c.snapshot()
			for round := range 20 {
				checkSearch(t, r, s, vector, round)
			}
		})
	}
}

// checkSearch searches with a number of probes that depends on the round, and compares the result
// with that of comparing all vectors.
func checkSearch(t *testing.T, r *rand.Rand, s *snapshot, vector func(*rand.Rand, int) []float32, round int) {
	t.Helper()
	probes := make([]*probe, 1+round%9)
	for i := range probes {
		probes[i] = someProbe(t, r, s, vector)
	}
	got, err := s.search(context.Background(), probes, 1+round%3)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range probes {
		if want := s.compareAll(p); !slices.Equal(got[i], want) {
			t.Fatalf("round %d, query %d, k %d: found\n%v, want\n%v", round, i, p.k, got[i], want)
		}
	}
}

func someProbe(t *testing.T, r *rand.Rand, s *snapshot, vector func(*rand.Rand, int) []float32) *probe {
	unit, err := Binding{Dim: s.dim}.unit(vector(r, s.dim))
	if err != nil {
		t.Fatal(err)
	}
	k := []int{1, 10, 300, MaxK}[r.IntN(4)]
	least := float32(math.Inf(-1))
	if r.IntN(3) == 0 {
		least = float32(r.Float64())
	}
	self := int64(nowhere)
	if r.IntN(3) == 0 {
		self = int64(at(0, r.IntN(s.parts[0].n)))
		unit = s.vector(place(self))
	}
	p := newProbe(unit, k, least)
	p.self = self
	if r.IntN(3) == 0 {
		for range 50 {
			p.leaveOut([]int64{int64(at(0, r.IntN(s.parts[0].n))), nowhere})
		}
	}
	if text := []string{"", `{"tenth": true}`, `{"most": true}`, `{"i": 5}`, `{"i": {"$lt": 700}}`}[r.IntN(5)]; text != "" {
		f, err := filter.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		p.match = f.Compile(s.view)
	}
	return p
}

// compareAll is a search that compares every vector.
func (s *snapshot) compareAll(p *probe) (all []found) {
	for j, part := range s.parts {
		if part.segment == nil {
			continue
		}
		mask := part.live
		if p.match != nil {
			mask, _ = part.matching(p.match)
		}
		for _, i := range ones(mask) {
			at := at(j, int(i))
			if score := scan.Dot(p.unit, s.vector(at)); score >= p.least && int64(at) != p.self && !p.out[at] {
				all = append(all, found{at, s.id(at), score})
			}
		}
	}
	slices.SortFunc(all, func(a, b found) int { return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.id, b.id)) })
	return all[:min(p.k, len(all))]
}

func TestFloor(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for k := 1; k < 20; k++ {
		var f floor
		var all []float32
		for range 100 {
			v := float32(r.IntN(50))
			all = append(all, v)
			slices.Sort(all)
			before := slices.Clone(f)
			raised := f.add(v, k)
			if len(all) < k {
				if raised || len(f) != len(all) {
					t.Fatalf("k %d: %v after %d", k, f, len(all))
				}
				continue
			}
			want := all[len(all)-k]
			if f[0] != want || raised != (len(before) < k || v > before[0]) {
				t.Fatalf("k %d: lowest %v, want %v; raised %v", k, f[0], want, raised)
			}
		}
	}
}

// A search can be cancelled.
func TestSearchEnds(t *testing.T) {
	c := newCollection(2)
	row := newRow([]float32{1, 0})
	c.apply([]change{{id: "a", row: &row}})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.snapshot().search(ctx, []*probe{newProbe([]float32{1, 0}, 1, 0)}, 1); err == nil {
		t.Error("it went on")
	}
}

func TestThreads(t *testing.T) {
	ctx := context.Background()
	all := newThreads(4)
	take := func(parts, want int) (free func()) {
		t.Helper()
		n, free, err := all.take(ctx, parts)
		if err != nil || n != want {
			t.Fatalf("%d threads, %v: want %d", n, err, want)
		}
		return free
	}
	first := take(3, 3)
	second := take(3, 1)
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, _, err := all.take(gone, 1); err == nil {
		t.Error("a fifth thread was given")
	}
	first()
	second()
	take(0, 1)()
	take(9, 4)()
}
