package index

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// sketched are kinds of vectors for which sketches help, and some for which they may not.
var sketched = map[string]func(r *rand.Rand, dim int) []float32{
	"near a few dimensions": func(r *rand.Rand, dim int) []float32 {
		k := 0.0
		return some(dim, func() float64 { k++; return math.Exp(-k/20) * r.NormFloat64() })
	},
	"in a few dimensions": func(r *rand.Rand, dim int) []float32 {
		v := make([]float32, dim)
		for i := range 5 {
			v[i] = float32(r.NormFloat64())
		}
		return v
	},
	"in turn": func(r *rand.Rand, dim int) []float32 { // each kind has a few dimensions of its own
		v := make([]float32, dim)
		for i, first := 0, r.IntN(4)*60; i < 12; i++ {
			v[first+i] = float32(r.NormFloat64())
		}
		return v
	},
	"all but equal": vectors["all but equal"],
	"equal":         vectors["equal"],
	"any":           vectors["any"], // sketches do not help
}

// A search with sketches returns exactly what comparing all vectors does, also while only some
// segments have sketches, and with rows gone.
func TestSketchedSearchIsExact(t *testing.T) {
	const dim, items = 256, 2*segmentRows + 500
	for name, vector := range sketched {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(7, 8))
			c := filled(t, r, vector, dim, items)
			c.sketch(t.Context(), always)
			for i := range items / 10 { // deletes a tenth of the rows
				c.apply([]change{{id: fmt.Sprint("id", 11*i%items)}})
			}
			c.grow(t, r, vector, segmentRows, items)
			s := c.snapshot()
			if n := useful(s); (n == 0) != (name == "any") || n == len(s.complete()) {
				t.Fatalf("%d of %d full segments have sketches", n, len(s.complete()))
			}
			for round := range 10 {
				if round == 5 {
					c.sketch(t.Context(), always)
				}
				checkSearch(t, r, s, vector, round)
			}
			if name != "any" && useful(s) != len(s.complete()) {
				t.Errorf("%d of %d full segments have sketches", useful(s), len(s.complete()))
			}
		})
	}
}

func always() bool { return true }

// filled returns a collection of n vectors.
func filled(t *testing.T, r *rand.Rand, vector func(*rand.Rand, int) []float32, dim, n int) *collection {
	c := newCollection(dim)
	c.grow(t, r, vector, n, 0)
	return c
}

// grow adds n vectors, numbered from first on.
func (c *collection) grow(t *testing.T, r *rand.Rand, vector func(*rand.Rand, int) []float32, n, first int) {
	t.Helper()
	var changes []change
	for i := first; i < first+n; i++ {
		unit, err := Binding{Dim: c.dim}.unit(vector(r, c.dim))
		if err != nil {
			t.Fatal(err)
		}
		meta, err := c.fields.Encode(fmt.Appendf(nil, `{"i": %d, "tenth": %t, "most": %t}`, i, i%10 == 0, i%10 > 0))
		if err != nil {
			t.Fatal(err)
		}
		row := newRow(unit)
		changes = append(changes, change{id: fmt.Sprint("id", i), key: int64(i), row: &row, meta: meta})
	}
	c.apply(changes)
}

// useful returns the number of segments with sketches that searches use.
func useful(s *snapshot) (n int) {
	for _, p := range s.parts {
		if p.segment != nil && p.sketched() != nil {
			n++
		}
	}
	return n
}

// New axes are learnt for vectors that lie elsewhere, and a search uses both sets of axes.
func TestSketchesFollow(t *testing.T) {
	const dim = 256
	r := rand.New(rand.NewPCG(13, 14))
	from := func(first int) func(r *rand.Rand, dim int) []float32 {
		return func(r *rand.Rand, dim int) []float32 {
			v := make([]float32, dim)
			for i := range 20 {
				v[first+i] = float32(r.NormFloat64())
			}
			return v
		}
	}
	c := filled(t, r, from(0), dim, segmentRows)
	c.sketch(t.Context(), always)
	c.grow(t, r, from(100), 2*segmentRows, segmentRows)
	s := c.snapshot()
	c.sketch(t.Context(), always)
	if useful(s) != 3 || s.parts[0].sketches.Load().Axes == s.parts[2].sketches.Load().Axes {
		t.Fatalf("%d segments have sketches, by the same axes or others", useful(s))
	}
	for round, first := range []int{0, 100, 200} {
		checkSearch(t, r, s, from(first), round)
	}
}

// A search compares hardly any rows that sketches rule out, and examines few by their codes.
func TestSketchesRuleOut(t *testing.T) {
	const dim, items = 256, 4 * segmentRows
	r, vector := rand.New(rand.NewPCG(9, 10)), sketched["near a few dimensions"]
	c := filled(t, r, vector, dim, items)
	c.sketch(t.Context(), always)
	s := c.snapshot()
	unit, _ := Binding{Dim: dim}.unit(vector(r, dim))
	w := newWorker(s, []*probe{newProbe(unit, 10, float32(math.Inf(-1)))})
	for j, p := range s.parts {
		w.scan(j, p)
	}
	of := &w.sieves[0]
	if n := len(of.rows) + of.compared; n > items/50 {
		t.Errorf("%d of %d rows are left", n, items)
	}
	if of.passed > 4*scanBlock {
		t.Errorf("%d of %d rows are looked at by their codes", of.passed, items)
	}
}

// Sketches that leave many rows are used less and less.
func TestSketchesThatDoNotHelp(t *testing.T) {
	s := &sieve{probe: newProbe([]float32{1}, 1, -1)}
	asked := 0
	for range 100 {
		if s.sifts() {
			asked++
			s.sifted(false)
		}
	}
	if asked != 20 {
		t.Errorf("%d of 100 blocks", asked)
	}
	for range 100 {
		if s.sifts() && s.sifted(asked%4 == 0) {
			asked += 100
		}
		asked++
	}
	if asked < 2000 {
		t.Errorf("%d after some that helped", asked)
	}
	if unknown := (&sieve{probe: newProbe([]float32{1}, 1, float32(math.Inf(-1)))}); unknown.sifts() {
		t.Error("a probe that knows no score to beat asks")
	}
}

// Vectors of few dimensions have no sketches.
func TestSmallVectorsHaveNoSketches(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 16))
	c := filled(t, r, vectors["any"], 64, segmentRows)
	c.sketch(t.Context(), always)
	if s := c.snapshot(); useful(s) != 0 || len(s.complete()) != 1 {
		t.Errorf("%d segments, %d with sketches", len(s.complete()), useful(s))
	}
}

// Vectors added class by class are sketched once there are enough of them to learn axes for all.
func TestSketchesOfWhatComesInOrder(t *testing.T) {
	const dim = 256
	r := rand.New(rand.NewPCG(17, 18))
	c := newCollection(dim)
	for class := range 8 {
		c.grow(t, r, func(r *rand.Rand, dim int) []float32 {
			v := make([]float32, dim)
			for i := range 7 {
				v[30*class+i] = float32(r.NormFloat64())
			}
			return v
		}, segmentRows, class*segmentRows)
		c.sketch(t.Context(), always)
	}
	if n := useful(c.snapshot()); n != 8 {
		t.Errorf("%d of 8 segments have sketches", n)
	}
}

// Sketching stops once nobody will search what it sketches, and when it is cancelled.
func TestSketchingStops(t *testing.T) {
	const dim = 256
	r, vector := rand.New(rand.NewPCG(19, 20)), sketched["in a few dimensions"]
	c := filled(t, r, vector, dim, 3*segmentRows)
	left := 2
	c.sketch(t.Context(), func() bool { left--; return left >= 0 })
	if n := useful(c.snapshot()); n != 2 {
		t.Errorf("%d segments have sketches, want 2", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []*collection{c, filled(t, r, vector, dim, segmentRows)} {
		before := useful(c.snapshot())
		if c.sketch(ctx, always); useful(c.snapshot()) != before {
			t.Error("it went on")
		}
	}
}

// A file with Options.Sketch sketches its segments while it is used, also those of another state
// that replaces its own; other files do not.
func TestFileSketches(t *testing.T) {
	const dim = 256
	ctx, dir := t.Context(), t.TempDir()
	open := func(name string, o Options) *File {
		o.Binding, o.Create = Binding{Fingerprint: "m", Dim: dim}, true
		f, err := Open(ctx, dir+"/"+name, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	fill := func(f *File) {
		r := rand.New(rand.NewPCG(11, 12))
		items := make([]Item, segmentRows+1)
		for i := range items {
			items[i] = Item{ID: fmt.Sprint(i), Vector: sketched["in a few dimensions"](r, dim)}
		}
		if _, err := f.Upsert(ctx, DefaultNamespace, items...); err != nil {
			t.Fatal(err)
		}
	}
	have := func(f *File) int { return useful(f.current().collection(DefaultNamespace).snapshot()) }
	wait := func(f *File) {
		for have(f) == 0 && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
	}
	f, next := open("f", Options{Sketch: true}), open("next", Options{})
	fill(f)
	wait(f)
	before := f.Stats().Memory
	fill(next)
	if have(next) != 0 {
		t.Error("sketches that nobody has asked for")
	}
	if plain := next.Stats().Memory; before < plain+segmentRows*64 {
		t.Errorf("%d bytes with sketches, %d without", before, plain)
	}
	if err := f.Replace(ctx, next); err != nil {
		t.Fatal(err)
	}
	wait(f)
	if err := f.Sketch(ctx); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { f.sketcher.ended.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("it still works in the background")
	}
	if err := f.Sketch(ctx); !errors.Is(err, ErrClosed) {
		t.Errorf("sketching a file that is closed: %v", err)
	}
}
