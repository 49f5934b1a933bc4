package near

import (
	"context"
	"math/bits"

	"vicreg/server/index/scan"
)

// worker is one goroutine of a join, with its reusable buffers.
type worker struct {
	*join
	masks  [block]uint64 // one per row of a block, with a bit for each row of another block
	at     []uint32
	scores [block]float32

	asked       []*scan.Query  // the rows of the current block, made on demand
	base, slope [block]float32 // of the bounds of asked
	sums        []int32
	run         run
}

// few is the number of pairs of two blocks up to which they are compared one by one.
const few = block * block / 32

// compare joins the rows of block a with each other and with those of later blocks.
func (w *worker) compare(ctx context.Context, a int) error {
	from, to := w.of(a)
	near, masks := w.points.Near(a, w.limit), w.masks[:to-from]
	w.asked = nil
	for b := a; b < w.blocks(); b++ {
		if !w.boxes[a].within(&w.boxes[b], w.apart) || w.whole(a, b) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		w.points.Close(masks, near, b)
		switch left := w.left(masks, a, b); {
		case left > few:
			w.later(a, b)
		case left > 0:
			w.look(masks, a, b)
		}
	}
	w.judge(a)
	return nil
}

// whole reports whether all rows of two blocks are already joined.
func (j *join) whole(a, b int) bool {
	from, to := j.of(a)
	begin, end := j.of(b)
	root := j.joined.find(uint32(from))
	return j.joined.all(begin, end, root) && j.joined.all(from, to, root)
}

// left removes from masks the pairs that are already joined and, within one block, those of a row
// with itself or an earlier row. It returns the number of pairs left.
func (j *join) left(masks []uint64, a, b int) (count int) {
	var room [block]uint32
	var roots []uint32 // of the rows of block b, computed on demand
	var low, high uint32
	for i, mask := range masks {
		if a == b {
			mask &= ^uint64(1) << i // only rows after i
		}
		if mask != 0 {
			if roots == nil {
				begin, end := j.of(b)
				roots = room[:end-begin]
				low, high = j.joined.roots(roots, begin)
			}
			if root := j.joined.find(uint32(a*block + i)); low <= root && root <= high {
				mask = others(mask, roots, root)
			}
		}
		masks[i] = mask
		count += bits.OnesCount64(mask)
	}
	return count
}

// others returns mask without the rows joined to root.
func others(mask uint64, roots []uint32, root uint32) uint64 {
	for k, r := range roots {
		if r == root {
			mask &^= 1 << k
		}
	}
	return mask
}

// look compares the few pairs in masks directly.
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
