// Package near finds, among many vectors, those whose product is high, as one does who
// compares all pairs, and compares few.
//
// Vectors x and y that are no longer than L, and whose product is T at least, are close:
//
//	|x - y|² = |x|² + |y|² - 2 x·y <= 2 L² - 2 T.
//
// No map that brings no two points further apart brings these further apart than that.
// There are three such maps. What lies along a few axes, which are learnt so that the
// vectors differ along them, is a box for each block of vectors that lie together: two
// blocks with boxes apart have no pair (the package's boxes). What lies along more axes,
// turned and cut to small whole numbers, is 64 bytes of each vector, of which most
// processors compare one pair a nanosecond (points). Only pairs that are close there, too,
// are compared as vectors; where they are many, first by 8 bits of each number (codes).
package near

import (
	"context"
	"math"
	"math/bits"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"vicreg/pipeline/stats"
	"vicreg/server/index/scan"
)

// block is how many rows, which lie together, are compared with as many others at once.
const block = scan.PointBlock

// few is the share of a block's pairs up to which they are compared one by one.
const few = 1. / 8

// Join joins rows whose scan.Dot is at least least, and rows that are joined through others:
// the result names for each row the lowest one that it is joined to, itself where there is
// none. Numbers are finite; rows are of length 1, or any, but the longest makes the bounds
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
	j := &join{layout: l, least: least, joined: newForest(m.N)}
	distance := l.distance(least)
	j.apart, j.limit, j.longest = l.apart(distance), l.limit(distance), scan.Up(l.length)
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

// join is a comparison of all rows with all. Rows are known by their places in the layout.
type join struct {
	*layout
	least   float32
	apart   float64 // how far apart the boxes of a pair can be
	limit   int     // the square of how far apart the points of a pair can be
	joined  *forest
	longest float32 // no less than the length of a row
	codes   codes
}

// roots are the lowest rows of the sets that are joined.
func (j *join) roots() []int {
	lowest := make([]int, j.m.N)
	for i := range lowest {
		lowest[i] = math.MaxInt
	}
	for at, row := range j.order {
		root := j.joined.find(uint32(at))
		lowest[root] = min(lowest[root], int(row))
	}
	roots := make([]int, j.m.N)
	for at, row := range j.order {
		roots[row] = lowest[j.joined.find(uint32(at))]
	}
	return roots
}

// worker is one goroutine of a join, with what it uses again and again.
type worker struct {
	*join
	masks   [block]uint64
	at      []uint32
	scores  [block]float32
	queries []*scan.Query // of the block that is compared with others, where they are needed
	sums    []int32
}

// compare joins the rows of block a with each other and with those of the blocks after it.
func (w *worker) compare(ctx context.Context, a int) error {
	from, to := w.of(a)
	asked, masks := w.points.Near(a, w.limit), w.masks[:to-from]
	w.queries = w.queries[:0]
	for b := a; b < w.blocks(); b++ {
		if !w.boxes[a].within(&w.boxes[b], w.apart) || w.whole(a, b) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		w.points.Close(masks, asked, b)
		switch left := w.left(masks, a, b); {
		case left > few*block*block:
			w.judge(masks, a, b)
		case left > 0:
			w.look(masks, a, b)
		}
	}
	return nil
}

// whole tells whether all rows of two blocks are joined already.
func (j *join) whole(a, b int) bool {
	from, to := j.of(a)
	begin, end := j.of(b)
	root := j.joined.find(uint32(from))
	return j.joined.all(begin, end, root) && j.joined.all(from, to, root)
}

// left takes pairs that are joined already from masks, and those of a row with itself and
// with those before it. It counts the others.
func (j *join) left(masks []uint64, a, b int) (count float64) {
	var roots [block]uint32
	begin, end := j.of(b)
	for i, mask := range masks {
		if a == b {
			mask &= ^uint64(1) << i // those after i
		}
		if mask == 0 {
			masks[i] = 0
			continue
		}
		if count == 0 {
			for k := range end - begin {
				roots[k] = j.joined.find(uint32(begin + k))
			}
		}
		root, kept := j.joined.find(uint32(a*block+i)), uint64(0)
		for ; mask != 0; mask &= mask - 1 {
			if k := bits.TrailingZeros64(mask); roots[k] != root {
				kept |= 1 << k
			}
		}
		masks[i] = kept
		count += float64(bits.OnesCount64(kept))
	}
	return count
}

// look compares the pairs in masks, of which there are few.
func (w *worker) look(masks []uint64, a, b int) {
	for i, mask := range masks {
		w.at = w.at[:0]
		for rest := mask; rest != 0; rest &= rest - 1 {
			w.at = append(w.at, w.order[b*block+bits.TrailingZeros64(rest)])
		}
		scores := w.scores[:len(w.at)]
		scan.DotsAt(scores, w.row(a*block+i), w.m.Data, w.at)
		for _, score := range scores {
			if score >= w.least {
				w.joined.join(uint32(a*block+i), uint32(b*block+bits.TrailingZeros64(mask)))
			}
			mask &= mask - 1
		}
	}
}
