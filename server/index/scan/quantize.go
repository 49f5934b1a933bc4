package scan

import "math"

const (
	rowCode   = 127  // the largest code of a row
	queryCode = 2047 // the largest code of a query
	padding   = 64   // codes of a query are a multiple: its tails need no care
)

// Quantize cuts x to 8 bits: x ≈ scale*codes, with codes from -127 to 127 and
// len(codes) = len(x). The numbers of x are finite. residual is no less than the length
// of what is lost, |x - scale*codes|; Query.Margin makes a bound of it.
func Quantize(codes []int8, x []float32) (scale, residual float32) {
	mustFit(len(codes) == len(x) && len(x) <= MaxDim, "%d codes of %d numbers", len(codes), len(x))
	return cut(codes, x, rowCode)
}

// cut writes x as whole multiples of scale, up to limit times. A residual that is
// measured needs no argument about rounding: codes may be off, the bound holds.
func cut[T int8 | int16](codes []T, x []float32, limit float32) (scale, residual float32) {
	var largest float32
	for _, v := range x {
		if a := float32(math.Abs(float64(v))); a > largest {
			largest = a
		}
	}
	scale = largest / limit
	var inverse float64
	if scale > 0 {
		inverse = 1 / float64(scale)
	}
	const whole = 0x1.8p52 // numbers of this size have no digits after the point
	top, step, lost := float64(limit), float64(scale), 0.0
	for i, v := range x {
		code := float64(float64(v)*inverse) + whole - whole
		if math.Abs(code) > top { // the scale is so tiny that it lost digits
			code = math.Copysign(top, code)
		}
		codes[i] = T(code)
		rest := float64(v) - step*code
		lost += float64(rest * rest) // not fused: the same on every processor
	}
	return scale, length(lost)
}

// length is the root of a sum of squares in float64, with room for how that was rounded:
// (D+2)/2 times 2^-53 at most.
func length(squares float64) float32 {
	const room = 1 + MaxDim*0x1p-52
	return Up(math.Sqrt(squares) * room)
}

// Query is a vector to compare with codes, cut to 12 bits, of which it costs a scan
// hardly more than 8 would. It is never changed.
type Query struct {
	Scale    float32 // the vector is about Scale*codes
	Residual float32 // no less than |vector - Scale*codes|

	length float64 // no less than |vector|
	codes  []int16 // [D], from -2047 to 2047, zeros up to the capacity
	planes []int8  // codes = 32*high + low: 64 of high, 64 of low, and so on
}

// NewQuery cuts x, which holds 1 to MaxDim finite numbers.
func NewQuery(x []float32) *Query {
	mustFit(len(x) > 0 && len(x) <= MaxDim, "a query of %d numbers", len(x))
	padded := (len(x) + padding - 1) / padding * padding
	q := &Query{codes: make([]int16, padded)[:len(x)], planes: make([]int8, 2*padded)}
	q.Scale, q.Residual = cut(q.codes, x, queryCode)
	var squares float64
	for _, v := range x {
		squares += float64(float64(v) * float64(v))
	}
	q.length = float64(length(squares))
	for i, code := range q.codes {
		low := (code+16)&31 - 16
		at := i/padding*2*padding + i%padding
		q.planes[at], q.planes[at+padding] = int8((code-low)/32), int8(low)
	}
	return q
}

// Margin is what makes a search over codes exact. Let x be a row no longer than length
// (at least 0), cut to codes with a scale and residual, p its product with the query, and
// estimate = q.Scale*scale*float32(p) in float32. Then
//
//	estimate - margin <= Dot(q, x) <= estimate + margin, with margin = base + slope*residual,
//
// where both sides and margin are computed in float32, too. So when k rows have a lower
// bound of at least t, those of the k highest scores, and all that are as high as the
// k-th, are among the rows with an upper bound of at least t.
//
// Why: with q' and x' for what codes stand for, q·x - q'·x' = q·(x-x') + (q-q')·x', which
// is |q|*residual + q.Residual*(|x|+residual) at most. Each rounding adds 2^-24 of
// (|q|+q.Residual)*(|x|+residual): ⌈D/64⌉+6 of them in Dot, and 10 are more than those of
// estimate, margin and their sum. This holds for q and x of lengths from 1e-9 to 1e9;
// far off that, numbers leave the range of a float32.
func (q *Query) Margin(length float32) (base, slope float32) {
	blocks := (len(q.codes) + padding - 1) / padding
	rounded := float64(blocks+6+10) * 0x1p-24 * (q.length + float64(q.Residual))
	off := float64(q.Residual) + rounded
	return Up(float64(length) * off), Up(q.length + off)
}
