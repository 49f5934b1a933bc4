package sketch

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"vicreg/server/index/scan"
)

// kinds return vectors [N, D], of length 1.
var kinds = map[string]func(r *rand.Rand, n, dim int) []float32{
	"any": func(r *rand.Rand, n, dim int) []float32 { return units(r, n, dim, func(int) float64 { return 1 }) },
	"near a few dimensions": func(r *rand.Rand, n, dim int) []float32 {
		return units(r, n, dim, func(k int) float64 { return math.Exp(-float64(k) / 20) })
	},
	"in a few dimensions": func(r *rand.Rand, n, dim int) []float32 {
		return units(r, n, dim, func(k int) float64 { return float64(max(0, 3-k)) })
	},
	"all but equal": func(r *rand.Rand, n, dim int) []float32 {
		return units(r, n, dim, func(k int) float64 { return 1e-5 + float64(max(0, 1-k)) })
	},
	"equal": func(r *rand.Rand, n, dim int) []float32 {
		one := units(r, 1, dim, func(int) float64 { return 1 })
		var all []float32
		for range n {
			all = append(all, one...)
		}
		return all
	},
}

// units returns vectors of normal numbers whose standard deviation depends on their place.
func units(r *rand.Rand, n, dim int, deviation func(k int) float64) []float32 {
	var all []float32
	for range n {
		x, total := make([]float64, dim), 0.0
		for k := range x {
			x[k] = deviation(k) * r.NormFloat64()
			total += x[k] * x[k]
		}
		for _, v := range x {
			all = append(all, float32(v/math.Sqrt(total)))
		}
	}
	return all
}

// The bound is above every product, also for vectors that the axes were not learnt from, and by
// no more than rests and codes account for.
func TestBound(t *testing.T) {
	const n, asked = 300, 20
	for name, vectors := range kinds {
		for _, dim := range []int{256, 272, 512} {
			for _, from := range []string{"these", "others"} {
				t.Run(fmt.Sprint(name, "/", dim, "/", from), func(t *testing.T) {
					r := rand.New(rand.NewPCG(3, 4))
					rows := vectors(r, n, dim)
					learnt := rows
					if from == "others" {
						learnt = kinds["any"](r, n, dim)
					}
					a := Learn(context.Background(), learnt, dim, Count(dim))
					checkBound(t, a, rows, append(vectors(r, asked, dim), rows[:asked*dim]...))
				})
			}
		}
	}
}

func checkBound(t *testing.T, a *Axes, rows, queries []float32) {
	t.Helper()
	s := Draw(context.Background(), a, rows)
	n := len(s.scales)
	products, all := make([]int32, n), slices.Repeat([]uint64{math.MaxUint64}, n/64+1)
	for ; len(queries) > 0; queries = queries[a.dim:] {
		x := queries[:a.dim]
		q := a.Query(x)
		s.Products(products, []*scan.Query{q.Coded}, 0)
		for i := range n {
			score := scan.Dot(x, rows[i*a.dim:(i+1)*a.dim])
			reaching := func(bar float32) []uint32 {
				return s.Reaching(nil, q, products[i:i+1], i, bar, all, n)
			}
			if got := reaching(score); len(got) != 1 || got[0] != uint32(i) {
				t.Fatalf("row %d, whose product is %v, does not reach that", i, score)
			}
			room := 2*q.rest*s.rests[i] + 2*s.residuals[i] + 0.01
			if got := reaching(score + room); len(got) > 0 {
				t.Fatalf("row %d, whose product is %v, reaches %v more", i, score, room)
			}
		}
	}
}

// Learn finds axes near which the vectors lie, and reports the fraction off them.
func TestLearn(t *testing.T) {
	const n, dim = 1024, 256
	for name, want := range map[string][2]float64{
		"any":                   {0.5, 0.75},
		"near a few dimensions": {0.0005, 0.004}, // the first 64 hold all but exp(-6.4) of the squared length
		"in a few dimensions":   {0, 1e-5},
		"equal":                 {0, 1e-5},
	} {
		vectors := kinds[name](rand.New(rand.NewPCG(5, 6)), n, dim)
		a := Learn(context.Background(), vectors, dim, 64)
		if a.Off < want[0] || a.Off > want[1] {
			t.Errorf("%s: %v of the length is off the axes, want %v", name, a.Off, want)
		}
		if a.skew > 1e-5 {
			t.Errorf("%s: axes are orthonormal but for %v", name, a.skew)
		}
		if b := Learn(context.Background(), vectors, dim, 64); fmt.Sprint(a.rows) != fmt.Sprint(b.rows) {
			t.Errorf("%s: other axes at the second time", name)
		}
	}
}

// Learning can be cancelled.
func TestLearnEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if Learn(ctx, kinds["any"](rand.New(rand.NewPCG(7, 8)), 64, 256), 256, 64) != nil {
		t.Error("it went on")
	}
}

func TestCount(t *testing.T) {
	for dim, want := range map[int]int{1: 0, 128: 0, 255: 0, 256: 64, 384: 64, 512: 128, 768: 192, 2048: 256} {
		if got := Count(dim); got != want {
			t.Errorf("%d axes of %d dimensions, want %d", got, dim, want)
		}
	}
}

// Each rounding error is within its bound, also with axes that are far from orthonormal.
func TestRoundingIsBounded(t *testing.T) {
	const dim, n = 256, 64
	r := rand.New(rand.NewPCG(9, 10))
	for _, skewed := range []float64{0, 1e-3} {
		axes := make([][]float64, n)
		for s := range axes {
			axes[s] = random(r, dim)
		}
		orthonormal(context.Background(), axes, r)
		for _, axis := range axes[1:] {
			less(axis, -skewed, axes[0])
		}
		a := newAxes(axes)
		rows := kinds["near a few dimensions"](r, 200, dim)
		for range 2 { // the vector that this skew shortens most, paired with itself
			against := make([]float64, dim)
			for _, axis := range axes[1:] {
				less(against, math.Sqrt(0.5/(n-1)), axis)
			}
			less(against, -math.Sqrt(0.5), axes[0])
			scale(against, 1/math.Sqrt(dot(against, against)))
			rows = append(rows, single(against)...)
		}
		var before []float64 // along and rest of the previous vector
		var last []float32
		for ; len(rows) > 0; rows = rows[dim:] {
			x := rows[:dim]
			along := make([]float32, n)
			a.along(along, x)
			rest, lost := a.exactly(x, along)
			if lost > a.blur {
				t.Fatalf("skew %v: along the axes %v is lost, at most %v", skewed, lost, a.blur)
			}
			if got := float64(a.rest(x, along)); got < rest || got > rest+5e-3+2*math.Sqrt(a.skew) {
				t.Fatalf("skew %v: a rest of %v is told as %v", skewed, rest, got)
			}
			if length := math.Sqrt(squares(along)); length > a.length() {
				t.Fatalf("skew %v: a length of %v, at most %v", skewed, length, a.length())
			}
			now := wide(along)
			if last != nil {
				product := dot(wide(x), wide(last))
				if most := dot(now, before[:n]) + rest*before[n] + a.slack(); product > most {
					t.Fatalf("skew %v: a product of %v, at most %v", skewed, product, most)
				}
			}
			before, last = append(now, rest), x
		}
	}
}

// exactly returns the lengths of x - Pᵀa and of P x - a, in float64.
func (a *Axes) exactly(x, along []float32) (rest, lost float64) {
	left := wide(x)
	for s := range a.n {
		axis := wide(a.rows[s*a.dim : (s+1)*a.dim])
		e := dot(axis, wide(x)) - float64(along[s])
		lost += e * e
		less(left, float64(along[s]), axis)
	}
	return math.Sqrt(dot(left, left)), math.Sqrt(lost)
}

func wide(x []float32) []float64 {
	all := make([]float64, len(x))
	for k, v := range x {
		all[k] = float64(v)
	}
	return all
}

// Rows whose bit is not set are omitted, and the search ends once it has found too many rows.
func TestReachingHeedsMaskAndLimit(t *testing.T) {
	const dim, n = 256, 100
	r := rand.New(rand.NewPCG(11, 12))
	rows := kinds["any"](r, n, dim)
	a := Learn(context.Background(), rows, dim, 64)
	s := Draw(context.Background(), a, rows)
	q, products := a.Query(rows[:dim]), make([]int32, n)
	s.Products(products, []*scan.Query{q.Coded}, 0)
	mask := []uint64{0b1011, 1 << 20}
	if got := s.Reaching(nil, q, products, 0, -2, mask, n); !slices.Equal(got, []uint32{0, 1, 3, 84}) {
		t.Errorf("rows %v", got)
	}
	if got := s.Reaching(nil, q, products[64:], 64, -2, mask, n); !slices.Equal(got, []uint32{84}) {
		t.Errorf("rows from 64 on: %v", got)
	}
	if got := s.Reaching(nil, q, products, 0, -2, mask, 1); len(got) != 2 {
		t.Errorf("%d rows, want one more than the most", len(got))
	}
}

// Mixing the axes makes coordinates similar in size, so that codes lose less.
func TestMixedAxesLoseLess(t *testing.T) {
	const dim, n = 256, 64
	rows := kinds["near a few dimensions"](rand.New(rand.NewPCG(13, 14)), 500, dim)
	mixed := Learn(context.Background(), rows, dim, n)
	first := make([][]float64, n) // the first dimensions, along which these vectors extend most
	for s := range first {
		first[s] = make([]float64, dim)
		first[s][s] = 1
	}
	a, b := Draw(context.Background(), mixed, rows), Draw(context.Background(), newAxes(first), rows)
	if x, y := squares(a.residuals), squares(b.residuals); x > 0.7*y {
		t.Errorf("%v is lost along mixed axes, %v along others", x, y)
	}
}
