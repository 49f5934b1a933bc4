package quantize

import (
	"fmt"
	"math"
)

// Range is the observed range of an activation. It is always extended to zero, because padding is
// zero and must be exact.
type Range struct{ Min, Max float32 }

// step maps an activation to integers: x ≈ scale*(q - zero), q from 0 to 255.
type step struct {
	scale float32
	zero  uint8
}

// tiny is a magnitude below which values count as zero, and above which float32 has its full
// precision.
const tiny = 1e-36

// levels is the largest integer of an activation.
const levels = 255

func (r Range) step() (step, error) {
	low, high := float64(min(r.Min, 0)), float64(max(r.Max, 0))
	if !(high-low <= math.MaxFloat32) { // also catches NaN
		return step{}, fmt.Errorf("numbers from %g to %g are not finite", r.Min, r.Max)
	}
	if high-low < tiny { // nothing but zeros: any scale will do
		return step{scale: 1}, nil
	}
	scale := (high - low) / levels
	return step{float32(scale), uint8(min(math.Round(-low/scale), levels))}, nil
}

// mostWeight is the largest integer of a weight. 8 bits would have room for 127, but x86
// processors without VNNI add two products of a weight and an activation in 16 bits: from 65 on
// such a sum can exceed them, and is silently wrong. Giving up the bit buys the same numbers on
// every machine.
const mostWeight = 64

// mostBias bounds the integer of a bias, so that sums fit into 32 bits.
const mostBias = 1 << 30

// channel returns the scale of an output channel's weights. The bias is quantised in steps of
// that scale times x, the scale of the input, and must not exceed mostBias of them.
func channel(weights []float32, bias, x float32) float32 {
	var largest float64
	for _, w := range weights {
		largest = max(largest, math.Abs(float64(w)))
	}
	scale := max(largest/mostWeight, math.Abs(float64(bias))/(float64(x)*mostBias))
	if scale < tiny { // a channel of zeros
		return 1
	}
	return float32(scale)
}

// round is x in whole steps of scale.
func round(x, scale float64) float64 { return math.RoundToEven(x / scale) }
