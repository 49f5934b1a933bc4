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

// layout orders rows so that similar ones are adjacent, and holds bounds on their distances. It
// is immutable once built.
type layout struct {
	m      stats.Matrix
	order  []uint32     // [N], the row at each place
	boxes  []box        // by block
	points *scan.Points // by place

	lattice
	length float64 // upper bound on the length of a row
	lost   float64 // the most that rounding moves a point, in steps
}

// layOut learns axes and orders the rows by them.
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

// learn finds the principal axes of a sample spread evenly over all rows, with its mean
// subtracted, and a lattice for the coordinates along them.
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

// leads returns the rows' coordinates along the first axes, and sets l.length.
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

// rounded is an upper bound on the rounding error of scan.Dot, relative to the product of the
// lengths: it has ⌈D/64⌉+6 roundings.
func (l *layout) rounded() float64 { return float64((l.m.D+63)/64+6) * 0x1.01p-24 }

// distance is an upper bound on the distance of two rows whose scan.Dot is at least least: that
// of the package doc, with an allowance for rounding of the product. Products that underflow a
// float32 add far less than 1e-12.
func (l *layout) distance(least float32) float64 {
	return math.Sqrt(max(0, 2*l.length*l.length*(1+l.rounded())-2*float64(least)) + 1e-12)
}

// apart is the largest distance along the axes of two rows that are at most distance apart.
func (l *layout) apart(distance float64) float64 { return l.axes.Apart(distance, l.length) }

// limit is the square of the largest distance between the points of two rows that are at most
// distance apart: rounding moves both. Rounding of sums in float64 adds less than 1e-9.
func (l *layout) limit(distance float64) int {
	far := l.apart(distance)/l.step*(1+1e-9) + 2*l.lost + 1e-9
	return int(min(far*far, math.MaxInt32))
}

func (l *layout) blocks() int { return (l.m.N + block - 1) / block }

// of returns the range of places of a block.
func (l *layout) of(b int) (from, to int) { return b * block, min((b+1)*block, l.m.N) }

// row returns the row at a place.
func (l *layout) row(place int) []float32 { return l.m.Row(int(l.order[place])) }

// highest is the maximum of the values passed to raise, at least 0.
type highest struct {
	mu    sync.Mutex
	value float64
}

func (h *highest) raise(v float64) {
	h.mu.Lock()
	h.value = max(h.value, v)
	h.mu.Unlock()
}

// inParallel calls a function for every number below n, from up to GOMAXPROCS goroutines; make
// returns a separate function for each goroutine.
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
