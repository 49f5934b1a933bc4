// Package near finds, among many vectors, the pairs with a high dot product. The result is
// exactly that of comparing all pairs, but few pairs are compared.
//
// Two vectors of length at most L whose product is at least T are close:
//
//	|x - y|² = |x|² + |y|² - 2 x·y <= 2 L² - 2 T.
//
// So are their images under a map that never increases distances. There are two such maps. A
// vector's coordinates along a few axes, learnt so that vectors differ along them, lie in a box
// that bounds those of its block: if two boxes are too far apart, no pair of their blocks is
// close (boxes.go). Its coordinates along more axes, rotated and rounded to small integers, are a
// point of 64 bytes, and comparing two points takes a third of a nanosecond (lattice.go). Pairs
// whose points are close are compared as vectors; where there are many, they are filtered by
// 8-bit codes first (codes.go).
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

// block is the number of adjacent rows that are compared with another block at once.
const block = scan.PointBlock

// Join joins rows whose scan.Dot is at least least, transitively: the result holds, for each row,
// the lowest row that it is joined to. Numbers must be finite, and rows of length 1 or 0; longer
// rows are joined as well, but the longest loosens the bounds of all. progress is called with the
// number of rows compared with all others so far, possibly from several goroutines.
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

// join is a comparison of all rows, which are identified by their places in the layout.
type join struct {
	*layout
	least  float32
	apart  float64 // the largest distance between boxes that have a pair
	limit  int     // the largest squared distance between the points of a pair
	joined *forest
	codes  codes
}

// roots returns, for each row, the lowest row of its set.
func (j *join) roots() []int {
	lowest := make([]int, j.m.N) // by the lowest place of the set
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
