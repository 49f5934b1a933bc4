package imaging

import (
	"fmt"
	"math"
)

// Filter is a resampling filter. Both widen when downscaling (antialiasing), like Pillow's.
type Filter uint8

const (
	// Bicubic is the cubic convolution filter with a = -0.5.
	Bicubic Filter = iota
	// Bilinear is the triangle filter.
	Bilinear
)

// ParseFilter reads "bicubic" or "bilinear".
func ParseFilter(name string) (Filter, error) {
	switch name {
	case "bicubic":
		return Bicubic, nil
	case "bilinear":
		return Bilinear, nil
	}
	return 0, fmt.Errorf("unknown interpolation %q (known: bicubic, bilinear)", name)
}

func (f Filter) String() string { return [...]string{"bicubic", "bilinear"}[f] }

func (f Filter) support() float64 { return [...]float64{2, 1}[f] }

// at evaluates the filter. Here and below each product is converted to float64 explicitly: Go
// allows x*y+z to be fused on some processors, and a fused result may round to a different
// coefficient than Pillow's.
func (f Filter) at(x float64) float64 {
	x = math.Abs(x)
	switch {
	case f == Bilinear && x < 1:
		return 1 - x
	case f == Bilinear:
		return 0
	case x < 1:
		return float64(float64((float64(1.5*x)-2.5)*x)*x) + 1
	case x < 2:
		return (float64((float64((x-5)*x)+8)*x) - 4) * -0.5
	}
	return 0
}

// precision is the number of fraction bits of a weight: 8 bits are needed for the pixel and 2 for
// sums that leave 0..1 because of the filter's negative lobes.
const precision = 32 - 8 - 2

// kernel is one axis of a separable filter in fixed point. Output i is the sum over t < n[i] of
// source sample lo[i]+t times w[i*taps+t], divided by 2^22; weights past n[i] are 0. The last
// output is followed by a zero one, for loops that process two at a time.
type kernel struct {
	count int // outputs
	taps  int // an even number
	most  int // the largest of n
	lo, n []int
	w     []int32
	same  bool // output i is source sample lo[0]+i: the identity
}

func (k *kernel) reset(out, taps int) {
	k.count, k.taps, k.most, k.same = out, (taps+1)&^1, 0, false
	k.lo, k.n, k.w = grow(k.lo, out+1), grow(k.n, out+1), grow(k.w, (out+1)*k.taps)
	k.lo[out], k.n[out] = 0, 0
	clear(k.w)
}

// span returns the range of samples read. Outputs are in ascending or descending order of their
// samples.
func (k *kernel) span() (lo, hi int) {
	i, j := 0, k.count-1
	return min(k.lo[i], k.lo[j]), max(k.lo[i]+k.n[i], k.lo[j]+k.n[j])
}

// reverse reverses the order of the outputs, which mirrors the image.
func (k *kernel) reverse() {
	n := k.taps
	for i, j := 0, k.count-1; i < j; i, j = i+1, j-1 {
		k.lo[i], k.lo[j] = k.lo[j], k.lo[i]
		k.n[i], k.n[j] = k.n[j], k.n[i]
		a, b := k.w[i*n:(i+1)*n], k.w[j*n:(j+1)*n]
		for t, v := range a {
			a[t], b[t] = b[t], v
		}
	}
	k.same = k.same && k.count == 1
}

// resample prepares k for outputs first..first+count-1 of an axis on which the interval in0..in1 of
// in samples is mapped to out samples. The bounds are first rounded to float32, which is how Pillow
// receives them.
func (s *Scratch) resample(k *kernel, f Filter, in int, in0, in1 float64, out, first, count int) {
	a, b := float32(in0), float32(in1)
	if out == in && a == 0 && b == float32(in) {
		k.identity(first, count)
		return
	}
	scale := float64(b-a) / float64(out)
	wide := max(scale, 1)
	support := float64(f.support() * wide)
	k.reset(count, int(math.Ceil(support))*2+1)
	s.weights = grow(s.weights, k.taps)
	for i := range count {
		center := float64(a) + float64((float64(first+i)+0.5)*scale)
		lo := max(int(center-support+0.5), 0)
		n := min(int(center+support+0.5), in) - lo
		sum := 0.0
		for t := range n {
			v := f.at((float64(lo+t) - center + 0.5) * (1 / wide))
			s.weights[t] = v
			sum += v
		}
		k.lo[i] = lo
		k.fix(i, s.weights[:n], sum)
	}
}

// fix stores the weights of output i divided by their sum, in fixed point, rounding halves away
// from zero.
func (k *kernel) fix(i int, weights []float64, sum float64) {
	k.n[i], k.most = len(weights), max(k.most, len(weights))
	w := k.w[i*k.taps:][:len(weights)]
	for t, v := range weights {
		if sum != 0 {
			v /= sum
		}
		w[t] = int32(float64(v*(1<<precision)) + math.Copysign(0.5, v))
	}
}

func (k *kernel) identity(first, count int) {
	k.reset(count, 1)
	for i := range count {
		k.lo[i], k.n[i], k.w[i*k.taps] = first+i, 1, 1<<precision
	}
	k.most, k.same = 1, true
}
