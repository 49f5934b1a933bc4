package sketch

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"vicreg/server/index/scan"
)

// kinds of vectors [N, D], of length 1.
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

// units are vectors whose numbers have deviations by their places.
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

// The bound is above every product, also of vectors that the axes were not learnt from,
// and by no more than the rests and the codes make of it.
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
	s := Draw(a, rows)
	n := len(s.scales)
	products := make([]int32, n)
	for ; len(queries) > 0; queries = queries[a.dim:] {
		x := queries[:a.dim]
		q := a.Query(x)
		s.Products(products, []*scan.Query{q.Coded}, 0)
		for i := range n {
			score := scan.Dot(x, rows[i*a.dim:(i+1)*a.dim])
			if got := s.Reaching(nil, q, products[i:i+1], i, score); len(got) != 1 || got[0] != uint32(i) {
				t.Fatalf("row %d, whose product is %v, does not reach that", i, score)
			}
			room := 2*q.rest*s.rests[i] + 2*s.residuals[i] + 0.01
			if got := s.Reaching(nil, q, products[i:i+1], i, score+room); len(got) > 0 {
				t.Fatalf("row %d, whose product is %v, reaches %v more", i, score, room)
			}
		}
	}
}

// Axes are found near which the vectors lie, and the share that is off them is told.
func TestLearn(t *testing.T) {
	const n, dim = 1024, 256
	for name, want := range map[string][2]float64{
		"any":                   {0.5, 0.75},
		"near a few dimensions": {0.0005, 0.004}, // the 64 first have all but exp(-6.4) of the squares
		"in a few dimensions":   {0, 1e-5},
		"equal":                 {0, 1e-5},
	} {
		vectors := kinds[name](rand.New(rand.NewPCG(5, 6)), n, dim)
		a := Learn(context.Background(), vectors, dim, 64)
		if a.Rest < want[0] || a.Rest > want[1] {
			t.Errorf("%s: %v of the length is off the axes, want %v", name, a.Rest, want)
		}
		if a.skew > 1e-5 {
			t.Errorf("%s: axes are orthonormal but for %v", name, a.skew)
		}
		if b := Learn(context.Background(), vectors, dim, 64); fmt.Sprint(a.rows) != fmt.Sprint(b.rows) {
			t.Errorf("%s: other axes at the second time", name)
		}
	}
}

// Learning ends when it is told to.
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
