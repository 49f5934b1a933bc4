package scan

import "math"

const (
	rowCode   = 127  // the largest code of a row
	queryCode = 2047 // the largest code of a query
	padding   = 64   // a query is padded to a multiple of this many codes, so its tail needs no special case
)

// Quantize quantises x to 8 bits: x ≈ scale*codes, with codes from -127 to 127 and
// len(codes) = len(x). The numbers of x must be finite. residual is an upper bound on the length
// of the error, |x - scale*codes|; Query.Margin derives a bound on products from it.
func Quantize(codes []int8, x []float32) (scale, residual float32) {
	mustFit(len(codes) == len(x) && len(x) <= MaxDim, "%d codes of %d numbers", len(codes), len(x))
	return cut(codes, x, rowCode)
}

// cut writes x as integer multiples of scale, from -limit to limit. The residual is measured, so
// rounding needs no analysis: codes may be off, and the bound still holds.
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
	const whole = 0x1.8p52 // float64 has no fraction bits at this magnitude, so adding it rounds
	top, step, lost := float64(limit), float64(scale), 0.0
	for i, v := range x {
		code := float64(float64(v)*inverse) + whole - whole
		if math.Abs(code) > top { // a subnormal scale has lost precision
			code = math.Copysign(top, code)
		}
		codes[i] = T(code)
		rest := float64(v) - step*code
		lost += float64(rest * rest) // the conversion prevents fusing: same result on every processor
	}
	return scale, length(lost)
}

// length is the square root of a float64 sum of squares, with an allowance for the sum's
// rounding: at most (D+2)/2 times 2^-53.
func length(squares float64) float32 {
	const room = 1 + MaxDim*0x1p-52
	return Up(math.Sqrt(squares) * room)
}

// Query is a vector to compare with codes, quantised to 12 bits: a scan costs hardly more than
// with 8. It is immutable.
type Query struct {
	Scale    float32 // vector ≈ Scale*codes
	Residual float32 // upper bound on |vector - Scale*codes|

	length float64 // upper bound on |vector|
	codes  []int16 // [D], from -2047 to 2047, zero-padded up to the capacity
	planes []int8  // codes = 32*high + low, as blocks of 64 high and 64 low in turn
}

// NewQuery quantises x, which holds 1 to MaxDim finite numbers.
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

// Margin makes a search over codes exact. Let x be a row of length at most length (at least 0),
// quantised with a scale and residual, p the product of its codes and the query's, and
// estimate = q.Scale*scale*float32(p) in float32. Then
//
//	estimate - margin <= Dot(q, x) <= estimate + margin, with margin = base + slope*residual,
//
// where both sides and margin are computed in float32, too. So if k rows have a lower bound of at
// least t, then the k highest scores, and all that tie with the k-th, are among the rows with an
// upper bound of at least t.
//
// Why: with q' and x' for the vectors that the codes represent,
// q·x - q'·x' = q·(x-x') + (q-q')·x', which is at most |q|*residual + q.Residual*(|x|+residual).
// Each rounding adds at most 2^-24 of (|q|+q.Residual)*(|x|+residual): there are ⌈D/64⌉+6 in Dot,
// and fewer than 10 in estimate, margin and their sum. This holds for q and x of lengths from
// 1e-9 to 1e9; far outside that, numbers leave the range of a float32.
func (q *Query) Margin(length float32) (base, slope float32) {
	blocks := (len(q.codes) + padding - 1) / padding
	rounded := float64(blocks+6+10) * 0x1p-24 * (q.length + float64(q.Residual))
	off := float64(q.Residual) + rounded
	return Up(float64(length) * off), Up(q.length + off)
}
