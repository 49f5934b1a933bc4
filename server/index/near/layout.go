package near

import (
	"context"
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"vicreg/pipeline/stats"
	"vicreg/server/index/scan"
	"vicreg/server/index/sketch"
)

// layout has rows in an order in which those that are alike lie together, with what bounds
// how far apart they are. It does not change any more once it is made.
type layout struct {
	m      stats.Matrix
	order  []uint32     // [N] rows by their places
	boxes  []box        // of the blocks
	points *scan.Points // of the places

	lattice
	length float64 // of the longest row
	lost   float64 // what rounding to whole numbers moves a point at most
}

// layOut learns axes and lays out rows by them.
func layOut(ctx context.Context, m stats.Matrix) (*layout, error) {
	l := &layout{m: m}
	if err := l.learn(ctx); err != nil {
		return nil, err
	}
	leads, err := l.leads(ctx)
	if err != nil {
		return nil, err
	}
	l.order = ordered(leads)
	l.boxes, l.points = make([]box, (m.N+block-1)/block), scan.NewPoints(m.N)
	var lost highest
	err = inParallel(ctx, l.blocks(), func() func(int) {
		along, codes := make([]float32, l.n), [scan.PointCodes]int8{}
		return func(b int) {
			from, to := l.of(b)
			l.boxes[b] = around(leads, l.order[from:to])
			for i := from; i < to; i++ {
				l.axes.Along(along, m.Row(int(l.order[i])))
				lost.raise(l.round(&codes, along))
				l.points.Set(i, &codes)
			}
		}
	})
	l.lost = lost.value
	return l, err
}

// learn finds axes of the differences of rows that are spread over all, and a lattice for
// what lies along them.
func (l *layout) learn(ctx context.Context) error {
	n := min(scan.PointCodes, l.m.D)
	count := min(l.m.N, sketch.Sample(n))
	sample := stats.New(count, l.m.D)
	for i := range count {
		copy(sample.Row(i), l.m.Row(i*l.m.N/count))
	}
	mean := make([]float32, l.m.D)
	for k := range mean {
		sum := 0.0
		for i := range count {
			sum += float64(sample.Row(i)[k])
		}
		mean[k] = float32(sum / float64(count))
		for i := range count {
			sample.Row(i)[k] -= mean[k]
		}
	}
	axes := sketch.Principal(ctx, sample.Data, l.m.D, n)
	if axes == nil {
		return ctx.Err()
	}
	l.lattice = newLattice(axes, n, mean, sample)
	return nil
}

// leads are what rows are along the first axes, and finds the longest row.
func (l *layout) leads(ctx context.Context) ([]lead, error) {
	leads := make([]lead, l.m.N)
	var longest highest
	err := inParallel(ctx, l.blocks(), func() func(int) {
		return func(b int) {
			from, to := l.of(b)
			for i := from; i < to; i++ {
				row := l.m.Row(i)
				longest.raise(float64(scan.Dot(row, row)))
				l.axes.Along(leads[i][:min(leading, l.n)], row)
			}
		}
	})
	l.length = math.Sqrt(longest.value * (1 + 2*l.rounded()))
	return leads, err
}

// rounded is no less than what rounding does to scan.Dot, as a share of the product of the
// lengths: ⌈D/64⌉+6 times.
func (l *layout) rounded() float64 { return float64((l.m.D+63)/64+6) * 0x1.01p-24 }

// distance is no less than that of two rows whose scan.Dot is least or more: as the
// package says, and with what rounding may have added to the product. Numbers so small that
// their products are no float32 any more add far less than 1e-12.
func (l *layout) distance(least float32) float64 {
	return math.Sqrt(max(0, 2*l.length*l.length*(1+l.rounded())-2*float64(least)) + 1e-12)
}

// apart is how far apart two rows can be along the axes when their distance is that.
func (l *layout) apart(distance float64) float64 { return l.axes.Apart(distance, l.length) }

// limit is the square of how far apart two points can be when the distance of their rows is
// that: rounding moves both. Sums in float64 add less than 1e-9.
func (l *layout) limit(distance float64) int {
	far := l.apart(distance)/l.step*(1+1e-9) + 2*l.lost + 1e-9
	return int(min(far*far, math.MaxInt32))
}

func (l *layout) blocks() int { return (l.m.N + block - 1) / block }

// of are the places of a block.
func (l *layout) of(b int) (from, to int) { return b * block, min((b+1)*block, l.m.N) }

// row is the one at a place.
func (l *layout) row(place int) []float32 { return l.m.Row(int(l.order[place])) }

// highest is the highest number that it was shown, 0 before.
type highest struct {
	mu    sync.Mutex
	value float64
}

func (h *highest) raise(v float64) {
	h.mu.Lock()
	h.value = max(h.value, v)
	h.mu.Unlock()
}

// inParallel calls what make returns with all numbers below n, in as many goroutines as
// there are processors, each with its own.
func inParallel(ctx context.Context, n int, make func() func(i int)) error {
	var next atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for range min(runtime.GOMAXPROCS(0), n) {
		group.Go(func() error {
			do := make()
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := ctx.Err(); err != nil {
					return err
				}
				do(i)
			}
			return nil
		})
	}
	return group.Wait()
}
