// Package near finds, among many vectors, those whose product is high, exactly as one does
// who compares all pairs, but compares few.
//
// Two vectors no longer than L whose product is T at least are close:
//
//	|x - y|² = |x|² + |y|² - 2 x·y <= 2 L² - 2 T.
//
// A map that brings no two points further apart brings these no further apart than that.
// There are two. What a vector is along a few axes, which are learnt so that vectors differ
// along them, lies in a box with what others of its block are: where two boxes are too far
// apart, no pair of their blocks is close (boxes.go). What it is along more axes, turned and
// cut to small whole numbers, is a point of 64 bytes, whose distance to another takes a
// third of a nanosecond (lattice.go). Pairs whose points are close are compared as vectors;
// where they are many, by 8 bits of each number before (codes.go).
package near

import (
	"context"
	"math"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"vicreg/pipeline/stats"
	"vicreg/server/index/scan"
)

// block is how many rows, which lie together, are compared with as many others at once.
const block = scan.PointBlock

// Join joins rows whose scan.Dot is at least least, and rows that are joined through others:
// the result names for each row the lowest one that it is joined to. Numbers are finite, and
// rows of length 1 or 0; longer ones are joined as well, but the longest loosens the bounds
// of all. progress is told how many rows have been compared with all; it may be called from
// several goroutines.
func Join(ctx context.Context, m stats.Matrix, least float32, progress func(done int)) ([]int, error) {
	if m.N == 0 {
		return nil, ctx.Err()
	}
	l, err := layOut(ctx, m)
	if err != nil {
		return nil, err
	}
	distance := l.distance(least)
	j := &join{layout: l, least: least, apart: l.apart(distance), limit: l.limit(distance), joined: newForest(m.N)}
	var next, done atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for range min(runtime.GOMAXPROCS(0), l.blocks()) {
		group.Go(func() error {
			w := &worker{join: j}
			for a := int(next.Add(1)) - 1; a < l.blocks(); a = int(next.Add(1)) - 1 {
				if err := w.compare(ctx, a); err != nil {
					return err
				}
				from, to := l.of(a)
				progress(int(done.Add(int64(to - from))))
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return j.roots(), nil
}

// join is a comparison of all rows, which are known by their places in the layout.
type join struct {
	*layout
	least  float32
	apart  float64 // how far apart boxes can be that have a pair
	limit  int     // the square of how far apart the points of a pair can be
	joined *forest
	codes  codes
}

// roots are the lowest rows of the sets that are joined.
func (j *join) roots() []int {
	lowest := make([]int, j.m.N) // by the lowest places
	for i := range lowest {
		lowest[i] = math.MaxInt
	}
	for place, row := range j.order {
		root := j.joined.find(uint32(place))
		lowest[root] = min(lowest[root], int(row))
	}
	roots := make([]int, j.m.N)
	for place, row := range j.order {
		roots[row] = lowest[j.joined.find(uint32(place))]
	}
	return roots
}
