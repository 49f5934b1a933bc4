package near

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"vicreg/pipeline/stats"
	"vicreg/server/index/scan"
)

// kinds fill sets of vectors.
var kinds = map[string]func(r *rand.Rand, m stats.Matrix){
	"of all directions": func(r *rand.Rand, m stats.Matrix) { draw(r, m, func(int) float64 { return 1 }) },
	"in a corner": func(r *rand.Rand, m stats.Matrix) {
		draw(r, m, func(int) float64 { return 1 })
		for i, v := range m.Data {
			m.Data[i] = float32(math.Abs(float64(v)))
		}
	},
	"near a few dimensions": func(r *rand.Rand, m stats.Matrix) {
		draw(r, m, func(k int) float64 { return math.Exp(-float64(k) / 5) })
	},
	"in clusters": func(r *rand.Rand, m stats.Matrix) {
		draw(r, m, func(int) float64 { return 1 })
		for i := range m.N {
			moved(r, m.Row(i), m.Row(i%min(m.N, 7)), 0.2)
		}
	},
	"all but equal":    func(r *rand.Rand, m stats.Matrix) { around1(r, m, 1e-3) },
	"all but the same": func(r *rand.Rand, m stats.Matrix) { around1(r, m, 1e-7) },
	"equal, opposite and zero": func(r *rand.Rand, m stats.Matrix) {
		draw(r, m, func(int) float64 { return 1 })
		for i := range m.N {
			copy(m.Row(i), m.Row(i%min(m.N, 5)))
			for k := range m.Row(i) {
				m.Row(i)[k] *= float32(r.IntN(3) - 1)
			}
			if i%4 == 0 {
				clear(m.Row(i))
			}
		}
	},
	"far from the others": func(r *rand.Rand, m stats.Matrix) { // outliers, which are clamped
		around1(r, m, 0.01)
		for i := 0; i < m.N; i += 9 {
			for k := range m.Row(i) {
				m.Row(i)[k] *= -1
			}
		}
	},
}

// draw fills rows with normal numbers whose standard deviation depends on their place.
func draw(r *rand.Rand, m stats.Matrix, deviation func(k int) float64) {
	for i := range m.N {
		for k := range m.D {
			m.Row(i)[k] = float32(deviation(k) * r.NormFloat64())
		}
	}
}

// around1 fills rows with the first one plus noise of standard deviation apart.
func around1(r *rand.Rand, m stats.Matrix, apart float64) {
	draw(r, m, func(int) float64 { return 1 })
	for i := range m.N {
		moved(r, m.Row(i), m.Row(0), apart)
	}
}

// moved sets row to from plus noise of standard deviation apart.
func moved(r *rand.Rand, row, from []float32, apart float64) {
	for k := range row {
		row[k] = from[k] + float32(apart*r.NormFloat64())
	}
}

// made returns a set of a kind, with rows of length 1 or 0.
func made(name string, n, d int, seed uint64) stats.Matrix {
	m := stats.New(n, d)
	kinds[name](rand.New(rand.NewPCG(seed, uint64(n*d))), m)
	for i := range n {
		stats.Unit(m.Row(i))
	}
	return m
}

// dimensions are below, at and above PointCodes, with one axis and with fewer than boxes have.
var dimensions = []int{1, 3, 8, 63, 64, 65, 200}

// Any two rows are a pair at the threshold of their own product, and no bound may exclude them.
func TestBoundsHold(t *testing.T) {
	const n = 2*block + 9
	for name := range kinds {
		for _, d := range dimensions {
			t.Run(fmt.Sprint(name, "/", d), func(t *testing.T) {
				m := made(name, n, d, 1)
				if d == 65 { // lengths other than 1
					for i := range m.Data {
						m.Data[i] *= 3
					}
				}
				l, err := layOut(t.Context(), m)
				if err != nil {
					t.Fatal(err)
				}
				for a := range n {
					for b := range a {
						bounded(t, l, a, b)
					}
				}
			})
		}
	}
}

func bounded(t *testing.T, l *layout, a, b int) {
	t.Helper()
	product := scan.Dot(l.row(a), l.row(b))
	distance := l.distance(product)
	if !l.boxes[a/block].within(&l.boxes[b/block], l.apart(distance)) {
		t.Fatalf("rows with a product of %v are in boxes that are further apart than %v", product, l.apart(distance))
	}
	one := func(row int) *box {
		var x lead
		l.axes.Along(x[:min(leading, l.n)], l.row(row))
		return &box{x, x}
	}
	if !one(a).within(one(b), l.apart(distance)) {
		t.Fatalf("rows with a product of %v are further apart than %v along the axes", product, l.apart(distance))
	}
	var x, y [scan.PointCodes]int8
	along, square := make([]float32, l.n), 0
	l.axes.Along(along, l.row(a))
	l.round(&x, along)
	l.axes.Along(along, l.row(b))
	l.round(&y, along)
	for k := range x {
		square += int(x[k]-y[k]) * int(x[k]-y[k])
	}
	if square > l.limit(distance) {
		t.Fatalf("rows with a product of %v have points whose distance is the root of %d, more than that of %d", product, square, l.limit(distance))
	}
}

// The result is that of comparing all pairs, at arbitrary thresholds and at those that are the
// product of a pair, or the next number above it.
func TestJoinIsAsAllPairs(t *testing.T) {
	for name := range kinds {
		for _, d := range []int{1, 8, 65} {
			for _, n := range []int{1, 2, block, 2*block + 5} {
				m, r := made(name, n, d, 2), rand.New(rand.NewPCG(3, 3))
				thresholds := []float32{-1, -0.5, 0, 0.5, 0.9, 0.99, 0.999, 1}
				for range 2 {
					product := scan.Dot(m.Row(r.IntN(n)), m.Row(r.IntN(n)))
					thresholds = append(thresholds, product, math.Nextafter32(product, 2))
				}
				for _, least := range thresholds {
					got, err := Join(t.Context(), m, least, func(int) {})
					if want := naive(m, least); err != nil || !slices.Equal(got, want) {
						t.Fatalf("%d rows of %d %s from %v: %v\n%v\nwant\n%v", n, d, name, least, err, got, want)
					}
				}
			}
		}
	}
}

// Most rows near a low-dimensional subspace are told apart by their boxes and points, without
// reading the vectors: that is what these are for.
func TestFewPairsAreLeft(t *testing.T) {
	const n, d, least = 4000, 128, 0.999
	m := made("near a few dimensions", n, d, 4)
	l, err := layOut(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	distance, together, close := l.distance(least), 0, 0
	limit, masks := l.limit(distance), [block]uint64{}
	for a := range l.blocks() {
		from, to := l.of(a)
		asked := l.points.Near(a, limit)
		for b := range a {
			if !l.boxes[a].within(&l.boxes[b], l.apart(distance)) {
				continue
			}
			together++
			l.points.Close(masks[:to-from], asked, b)
			for _, mask := range masks[:to-from] {
				if mask != 0 {
					close++
				}
			}
		}
	}
	if all := l.blocks() * (l.blocks() - 1) / 2; together > all/2 || close > n/100 {
		t.Errorf("%d of %d pairs of blocks are compared, and %d rows have others close", together, all, close)
	}
}

// progress counts every row once.
func TestProgress(t *testing.T) {
	m, told := made("of all directions", 5*block+3, 20, 5), make(chan int, 6)
	if _, err := Join(t.Context(), m, 0.9, func(done int) { told <- done }); err != nil {
		t.Fatal(err)
	}
	close(told)
	highest, times := 0, 0
	for done := range told {
		highest, times = max(highest, done), times+1
	}
	if highest != m.N || times != 6 {
		t.Errorf("told %d times, %d rows at the end of %d", times, highest, m.N)
	}
}

// A join can be cancelled while it compares.
func TestJoinStopsOnTheWay(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m, times := made("of all directions", 200*block, 8, 6), make(chan int, 200)
	_, err := Join(ctx, m, 0.9, func(done int) {
		cancel()
		times <- done
	})
	if err != context.Canceled || len(times) > 50 {
		t.Errorf("got %v after %d of 200 blocks", err, len(times))
	}
}
