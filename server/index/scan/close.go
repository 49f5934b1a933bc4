package scan

// Points holds points of PointCodes integers each, in which Close finds those near to others.
// They are stored in blocks of PointBlock.
type Points struct {
	codes  []uint8 // [blocks, PointCodes/4, PointBlock, 4], with shift added
	halves []int32 // [blocks, PointBlock], half the squared length, rounded down; absent for points not set
}

// Near holds query points, to which Close finds near points.
type Near struct {
	codes []int8  // [n, PointCodes]
	bars  []int32 // [n], the least x·y - |y|²/2 of a near point y, with shift added to y in x·y
}

const (
	PointCodes = 64 // numbers per point
	MaxPoint   = 63 // the largest of these; -63 is the smallest
	PointBlock = 64 // points that a kernel processes at once

	shift  = 64      // makes numbers unsigned, as some instructions require; four products still fit in 16 bits
	absent = 1 << 29 // more than any product
)

// farthest is an upper bound on squared distances.
const farthest = PointCodes * (2 * MaxPoint) * (2 * MaxPoint)

// NewPoints returns room for n points, none of them set.
func NewPoints(n int) *Points {
	blocks := (n + PointBlock - 1) / PointBlock
	p := &Points{codes: make([]uint8, blocks*PointBlock*PointCodes), halves: make([]int32, blocks*PointBlock)}
	for i := range p.halves {
		p.halves[i] = absent
	}
	return p
}

// Set sets point i. It may be called concurrently for different points.
func (p *Points) Set(i int, codes *[PointCodes]int8) {
	var squares int32
	for k, c := range codes {
		mustFit(-MaxPoint <= c && c <= MaxPoint, "code %d of a point", c)
		p.codes[slot(i, k)] = uint8(int(c) + shift)
		squares += int32(c) * int32(c)
	}
	p.halves[i] = squares / 2
}

// slot is the index of number k of point i: one instruction multiplies four numbers of each of
// many points by four of another.
func slot(i, k int) int {
	return i/PointBlock*PointBlock*PointCodes + k/4*PointBlock*4 + i%PointBlock*4 + k%4
}

// Near makes query points of a block's points, for finding points at a distance of at most the
// square root of limit, which must not be negative.
func (p *Points) Near(block int, limit int) *Near {
	q := &Near{}
	for i := block * PointBlock; i < (block+1)*PointBlock && p.halves[i] != absent; i++ {
		var sum, squares int
		for k := range PointCodes {
			c := int(p.codes[slot(i, k)]) - shift
			q.codes = append(q.codes, int8(c))
			sum += c
			squares += c * c
		}
		q.bars = append(q.bars, int32((squares-min(limit, farthest))>>1+shift*sum))
	}
	return q
}

// Close sets bit i of masks[j] if point i of a block may be near to query point j; there is one
// mask per query point. From |x|² + |y|² - 2 x·y <= limit follows
//
//	x·y - ⌊|y|²/2⌋ >= ⌊(|x|² - limit)/2⌋,
//
// as the left side is an integer; a squared distance of limit+1 may pass as well.
func (p *Points) Close(masks []uint64, q *Near, block int) {
	mustFit(len(masks) == len(q.bars), "%d masks of %d points", len(masks), len(q.bars))
	if len(masks) > 0 {
		const n = PointBlock * PointCodes
		active.close(masks, q, p.codes[block*n:(block+1)*n], p.halves[block*PointBlock:(block+1)*PointBlock])
	}
}

// near implements Close in Go.
func near(masks []uint64, q *Near, codes []uint8, halves []int32) {
	for j := range masks {
		var sums [PointBlock]int32
		for k := 0; k < PointCodes; k += 4 {
			c := q.codes[j*PointCodes+k:][:4]
			c0, c1, c2, c3 := int32(c[0]), int32(c[1]), int32(c[2]), int32(c[3])
			rows := codes[k*PointBlock:][:4*PointBlock]
			for i := range sums {
				x := rows[4*i : 4*i+4 : 4*i+4]
				sums[i] += c0*int32(x[0]) + c1*int32(x[1]) + c2*int32(x[2]) + c3*int32(x[3])
			}
		}
		var mask uint64
		for i, sum := range sums {
			if sum-halves[i] >= q.bars[j] {
				mask |= 1 << i
			}
		}
		masks[j] = mask
	}
}
