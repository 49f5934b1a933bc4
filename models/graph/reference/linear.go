package reference

import (
	"fmt"
	"slices"

	"vicreg/models/tensor"
)

// matMul serves MatMul and FusedMatMul: alpha op(a) op(b), leading axes broadcast.
func matMul(c *call) array {
	a, b := c.in[0], c.in[1]
	if c.round && c.Inputs[0].Type == tensor.Float32 {
		a, b = mapped(a, tf32), mapped(b, tf32)
	}
	if c.int("transA", 0) == 1 {
		a = swapped(a)
	}
	if c.int("transB", 0) == 1 {
		b = swapped(b)
	}
	ra, rb := len(a.shape)-2, len(b.shape)-2
	lead := broadcast(a.shape[:ra], b.shape[:rb])
	a, b = stretch(a, slices.Concat(lead, a.shape[ra:])), stretch(b, slices.Concat(lead, b.shape[rb:]))
	n, k, m := a.shape[len(lead)], a.shape[len(lead)+1], b.shape[len(lead)+1]
	if b.shape[len(lead)] != k {
		panic(fmt.Sprintf("inner dimensions %d and %d", k, b.shape[len(lead)]))
	}
	out := zeros(append(lead, n, m)...)
	alpha := c.float("alpha", 1)
	for i := range tensor.Elements(lead) {
		multiply(out.data[i*n*m:], a.data[i*n*k:], b.data[i*k*m:], n, k, m, alpha)
	}
	return out
}

// multiply sets out [n, m] to alpha a [n, k] b [k, m].
func multiply(out, a, b []float64, n, k, m int, alpha float64) {
	for i := range n {
		for j := range m {
			sum := 0.0
			for l := range k {
				sum += a[i*k+l] * b[l*m+j]
			}
			out[i*m+j] = alpha * sum
		}
	}
}

// swapped is x with its last two axes exchanged.
func swapped(x array) array {
	perm := make([]int, len(x.shape))
	for i := range perm {
		perm[i] = i
	}
	r := len(perm)
	perm[r-2], perm[r-1] = r-1, r-2
	return permuted(x, perm)
}

func gemm(c *call) array {
	out := matMul(c)
	if !c.present(2) {
		return out
	}
	return zip(out, stretch(c.in[2], out.shape), func(a, b float64) float64 { return a + b })
}

func reduceSum(c *call) array {
	return reduce(c, func(x float64) float64 { return x })
}

func reduceSumSquare(c *call) array {
	return reduce(c, func(x float64) float64 { return x * x })
}

func reduceMean(c *call) array {
	out := reduceSum(c)
	n := float64(len(c.in[0].data)) / float64(len(out.data))
	return mapped(out, func(x float64) float64 { return x / n })
}

// reduce sums f(x) over the axes of the second input; no axes mean all.
func reduce(c *call, f func(float64) float64) array {
	x, axes := c.in[0], c.ints(1)
	kept, left := slices.Clone(x.shape), []int{}
	for i, d := range x.shape {
		if len(axes) == 0 || slices.Contains(axes, i) {
			kept[i] = 1
			continue
		}
		left = append(left, d)
	}
	out := zeros(kept...)
	index := make([]int, len(kept))
	walk(x.shape, func(i int, at []int) {
		for j, d := range kept {
			index[j] = min(at[j], d-1)
		}
		out.data[offset(kept, index)] += f(x.data[i])
	})
	if c.int("keepdims", 1) == 0 {
		out.shape = left
	}
	return out
}
