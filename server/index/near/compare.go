package near

import (
	"context"
	"math/bits"

	"vicreg/server/index/scan"
)

// worker is one goroutine of a join, with what it uses again and again.
type worker struct {
	*join
	masks   [block]uint64 // of the rows of a block, a bit for each of another block
	at      []uint32
	scores  [block]float32
	queries []*scan.Query // of the block that is compared with others, where they are needed
	sums    []int32
}

// few pairs of two blocks are compared one by one.
const few = block * block / 32

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
		case left > few:
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

// left takes from masks pairs that are joined already, those of a row with itself and those
// with one before it, which are others. It counts what is left.
func (j *join) left(masks []uint64, a, b int) (count int) {
	var roots [block]uint32
	known := false
	for i, mask := range masks {
		if a == b {
			mask &= ^uint64(1) << i // those after i
		}
		if masks[i] = 0; mask == 0 {
			continue
		}
		if !known {
			begin, end := j.of(b)
			j.joined.roots(roots[:end-begin], begin)
			known = true
		}
		for root := j.joined.find(uint32(a*block + i)); mask != 0; mask &= mask - 1 {
			if k := bits.TrailingZeros64(mask); roots[k] != root {
				masks[i] |= 1 << k
				count++
			}
		}
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
