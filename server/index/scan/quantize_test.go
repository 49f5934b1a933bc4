package scan

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// vectors returns vectors of every kind: dense, positive, sparse, constant, with an outlier; of
// any scale from the smallest numbers there are to the largest.
func vectors(r *rand.Rand, d int) [][]float32 {
	dense, positive, sparse := gaussian(r, d), gaussian(r, d), make([]float32, d)
	constant, outlier, zero := make([]float32, d), gaussian(r, d), make([]float32, d)
	for i := range d {
		positive[i] = max(positive[i], 0)
		constant[i] = 0.3
	}
	sparse[r.IntN(d)] = -0.7
	outlier[r.IntN(d)] = 1000
	all := [][]float32{zero}
	for _, x := range [][]float32{dense, positive, sparse, constant, outlier} {
		for _, size := range []float32{1, 1e-44, 1e-38, 1e-20, 1e20, 1e35} {
			y := make([]float32, d)
			for i, v := range x {
				y[i] = v * size
			}
			all = append(all, y)
		}
	}
	return all
}

// lost returns |x - scale*codes|², without any rounding.
func lost[T int8 | int16](x []float32, scale float32, codes []T) *big.Float {
	number := func(v float64) *big.Float { return new(big.Float).SetPrec(2000).SetFloat64(v) }
	sum := number(0)
	for i, v := range x {
		rest := number(float64(scale))
		rest.Mul(rest, number(float64(codes[i])))
		rest.Sub(number(float64(v)), rest)
		sum.Add(sum, rest.Mul(rest, rest))
	}
	return sum
}

func square(v float32) *big.Float {
	b := new(big.Float).SetPrec(100).SetFloat64(float64(v))
	return b.Mul(b, b)
}

// A residual is never too small, nor larger than half a step in every number would make it.
func TestResidual(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for _, d := range []int{1, 2, 7, 64, 100, 512} {
		for _, x := range vectors(r, d) {
			codes := make([]int8, d)
			scale, residual := Quantize(codes, x)
			checkResidual(t, x, scale, residual, codes, 127)
			q := NewQuery(x)
			checkResidual(t, x, q.Scale, q.Residual, q.codes, 2047)
		}
	}
}

func checkResidual[T int8 | int16](t *testing.T, x []float32, scale, residual float32, codes []T, limit T) {
	t.Helper()
	for _, c := range codes {
		if c < -limit || c > limit {
			t.Fatalf("code %d", c)
		}
	}
	if square(residual).Cmp(lost(x, scale, codes)) < 0 {
		t.Fatalf("%v and so on: the residual is %v, but the square of what is lost %v", x[0], residual, lost(x, scale, codes))
	}
	half := 0.5 * float64(scale) * math.Sqrt(float64(len(x)))
	if scale > 1e-36 && float64(residual) > half*1.0001 {
		t.Fatalf("the residual of %d numbers is %v with a scale of %v", len(x), residual, scale)
	}
}

// Exact multiples of the scale lose nothing, and their residual is not rounded up.
func TestNothingLost(t *testing.T) {
	codes := make([]int8, 3)
	if scale, residual := Quantize(codes, []float32{-254, 0, 4}); scale != 2 || residual != 0 || codes[0] != -127 || codes[2] != 2 {
		t.Errorf("scale %v, residual %v, codes %v", scale, residual, codes)
	}
	if scale, residual := Quantize(codes, make([]float32, 3)); scale != 0 || residual != 0 || codes[0] != 0 {
		t.Errorf("of zeros: scale %v, residual %v, codes %v", scale, residual, codes)
	}
}

// The planes of a query represent its codes, for all possible codes.
func TestPlanes(t *testing.T) {
	x := make([]float32, 2*queryCode+1)
	for i := range x {
		x[i] = float32(i - queryCode)
	}
	q := NewQuery(x)
	for i, c := range q.codes {
		at := i/64*128 + i%64
		if got := 32*int16(q.planes[at]) + int16(q.planes[at+64]); got != c || c != int16(i-queryCode) {
			t.Fatalf("code %d is %d, in planes %d", i, c, got)
		}
	}
}

// The inequality of Query.Margin, for vectors of every kind that it holds for.
func TestMargin(t *testing.T) {
	forEach(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 5))
		for _, d := range []int{1, 2, 7, 64, 100, 512, 2048} {
			for range 3 {
				rows := vectors(r, d)
				for _, x := range rows {
					checkMargin(t, x, rows)
				}
			}
		}
	})
}

func checkMargin(t *testing.T, x []float32, rows [][]float32) {
	t.Helper()
	if !within(x) {
		return
	}
	q, codes, out := NewQuery(x), make([]int8, len(x)), make([]int32, 1)
	for _, row := range rows {
		if !within(row) {
			continue
		}
		scale, residual := Quantize(codes, row)
		Products(out, []*Query{q}, codes)
		estimate := q.Scale * scale * float32(out[0])
		_, squares := reference(row, row)
		base, slope := q.Margin(Up(math.Sqrt(squares) * (1 + 1e-10)))
		margin := base + slope*residual
		if score := Dot(x, row); score < estimate-margin || score > estimate+margin {
			t.Fatalf("D=%d: %v is not %v +- %v", len(x), score, estimate, margin)
		}
	}
}

// within reports whether the length of x is 0 or in the range for which Margin is guaranteed.
func within(x []float32) bool {
	_, squares := reference(x, x)
	return squares == 0 || squares > 1e-18 && squares < 1e18
}

// For vectors of length 1 the margin is close to what the residuals alone require: one so wide
// that nothing can be excluded would be correct, too, but useless.
func TestMarginIsNarrow(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	x, y, codes := unit(gaussian(r, 512)), unit(gaussian(r, 512)), make([]int8, 512)
	_, residual := Quantize(codes, y)
	q := NewQuery(x)
	base, slope := q.Margin(1)
	if got, want := base+slope*residual, residual+q.Residual; got > 1.01*want {
		t.Errorf("the margin is %v, the residuals %v", got, want)
	}
}

func unit(x []float32) []float32 {
	_, squares := reference(x, x)
	for i := range x {
		x[i] /= float32(math.Sqrt(squares))
	}
	return x
}
