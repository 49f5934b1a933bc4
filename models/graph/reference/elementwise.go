package reference

import (
	"fmt"
	"math"
	"slices"

	"vicreg/models/tensor"
)

func mapped(x array, f func(float64) float64) array {
	out := zeros(x.shape...)
	for i, v := range x.data {
		out.data[i] = f(v)
	}
	return out
}

func zip(a, b array, f func(a, b float64) float64) array {
	out := zeros(broadcast(a.shape, b.shape)...)
	a, b = stretch(a, out.shape), stretch(b, out.shape)
	for i := range out.data {
		out.data[i] = f(a.data[i], b.data[i])
	}
	return out
}

// broadcast is the common shape of two operands, axes aligned at the end.
func broadcast(a, b []int) []int {
	rank := max(len(a), len(b))
	out := make([]int, rank)
	for i := range out {
		da, db := fromEnd(a, rank-i), fromEnd(b, rank-i)
		if da != db && da != 1 && db != 1 {
			panic(fmt.Sprintf("shapes %v and %v do not broadcast", a, b))
		}
		out[i] = da
		if da == 1 {
			out[i] = db
		}
	}
	return out
}

// fromEnd is the size of the k-th axis from the end, 1 before the first.
func fromEnd(shape []int, k int) int {
	if k > len(shape) {
		return 1
	}
	return shape[len(shape)-k]
}

// stretch repeats x along axes of size 1 until it has shape.
func stretch(x array, shape []int) array {
	if slices.Equal(x.shape, shape) {
		return x
	}
	out := zeros(shape...)
	lead := len(shape) - len(x.shape)
	index := make([]int, len(x.shape))
	walk(shape, func(i int, at []int) {
		for j, d := range x.shape {
			index[j] = min(at[lead+j], d-1)
		}
		out.data[i] = x.data[offset(x.shape, index)]
	})
	return out
}

// walk visits the positions of a shape in row-major order. The callback must not
// keep at.
func walk(shape []int, visit func(i int, at []int)) {
	at := make([]int, len(shape))
	for i := range tensor.Elements(shape) {
		visit(i, at)
		for j := len(at) - 1; j >= 0; j-- {
			if at[j]++; at[j] < shape[j] {
				break
			}
			at[j] = 0
		}
	}
}

// offset is the row-major number of a position.
func offset(shape, at []int) int {
	o := 0
	for i, d := range shape {
		o = o*d + at[i]
	}
	return o
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func relu(x float64) float64 {
	if x < 0 {
		return 0
	}
	return x
}

func hardSigmoid(c *call) array {
	alpha, beta := c.float("alpha", 0.2), c.float("beta", 0.5)
	return mapped(c.in[0], func(x float64) float64 { return max(0, min(1, alpha*x+beta)) })
}

// cast truncates towards zero for integers and leaves floats unrounded.
func cast(c *call) array {
	return mapped(c.in[0], func(x float64) float64 {
		switch to := tensor.DType(c.int("to", 0)); to {
		case tensor.Float16, tensor.BFloat16, tensor.Float32, tensor.Float64:
			return x
		case tensor.Bool:
			return truth(x != 0)
		case tensor.Uint8:
			return float64(uint8(int64(x)))
		case tensor.Int8, tensor.Int32, tensor.Int64:
			return math.Trunc(x)
		default:
			panic(fmt.Sprintf("cast to %v", to))
		}
	})
}

func sum(c *call) array {
	out := c.in[0]
	for _, x := range c.in[1:] {
		out = zip(out, x, func(a, b float64) float64 { return a + b })
	}
	return out
}

func where(c *call) array {
	shape := broadcast(c.in[0].shape, broadcast(c.in[1].shape, c.in[2].shape))
	cond, a, b := stretch(c.in[0], shape), stretch(c.in[1], shape), stretch(c.in[2], shape)
	out := zeros(shape...)
	for i := range out.data {
		out.data[i] = b.data[i]
		if cond.data[i] != 0 {
			out.data[i] = a.data[i]
		}
	}
	return out
}
