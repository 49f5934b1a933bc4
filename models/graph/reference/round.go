package reference

import (
	"math"

	"vicreg/models/tensor"
)

// rounded is x rounded to type t; integers stay as they are.
func rounded(x array, t tensor.DType) array {
	var f func(float64) float64
	switch t {
	case tensor.Float32:
		f = func(x float64) float64 { return float64(float32(x)) }
	case tensor.Float16:
		f = func(x float64) float64 { return toDigits(x, 11, -24, 65504) }
	case tensor.BFloat16:
		f = func(x float64) float64 { return toDigits(x, 8, -133, math.MaxFloat32) }
	default:
		return x
	}
	return mapped(x, f)
}

// tf32 rounds x as tensor cores round a float32 operand.
func tf32(x float64) float64 { return toDigits(x, 11, -149, math.MaxFloat32) }

// toDigits rounds x to the given number of binary digits, ties to even, with no digit below
// 2^least; magnitudes above largest become infinite.
func toDigits(x float64, digits, least int, largest float64) float64 {
	if x == 0 || math.IsNaN(x) || math.IsInf(x, 0) {
		return x
	}
	_, exp := math.Frexp(x)
	unit := math.Ldexp(1, max(exp-digits, least))
	if y := math.RoundToEven(x/unit) * unit; math.Abs(y) <= largest {
		return y
	}
	return math.Inf(int(math.Copysign(1, x)))
}

// half decodes the 16 bits of a half-precision number.
func half(t tensor.DType, bits uint16) float64 {
	if t == tensor.BFloat16 {
		return float64(math.Float32frombits(uint32(bits) << 16))
	}
	sign, exp, digits := 1-2*float64(bits>>15), int(bits>>10&31), float64(bits&1023)
	switch exp {
	case 0:
		return sign * math.Ldexp(digits, -24)
	case 31:
		if digits != 0 {
			return math.NaN()
		}
		return math.Inf(int(sign))
	}
	return sign * math.Ldexp(1024+digits, exp-25)
}
