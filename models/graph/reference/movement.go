package reference

import (
	"fmt"
	"slices"

	"vicreg/models/tensor"
)

// reshape keeps the memory, whatever the layout: that is how a blocked value is
// viewed.
func reshape(c *call) array {
	x, shape := c.in[0], c.ints(1)
	known := 1
	for i, d := range shape {
		if d == 0 {
			shape[i] = x.shape[i]
		}
		if d != -1 {
			known *= shape[i]
		}
	}
	if i := slices.Index(shape, -1); i >= 0 {
		shape[i] = len(x.data) / known
	}
	if tensor.Elements(shape) != len(x.data) {
		panic(fmt.Sprintf("cannot reshape %v to %v", x.shape, shape))
	}
	return array{shape, x.data}
}

func transpose(c *call) array { return permuted(c.in[0], c.Attr("perm").([]int)) }

// permuted has axis perm[i] of x as its axis i.
func permuted(x array, perm []int) array {
	shape := make([]int, len(perm))
	for i, p := range perm {
		shape[i] = x.shape[p]
	}
	out := zeros(shape...)
	source := make([]int, len(perm))
	walk(shape, func(i int, at []int) {
		for j, p := range perm {
			source[p] = at[j]
		}
		out.data[i] = x.data[offset(x.shape, source)]
	})
	return out
}

func expand(c *call) array {
	return stretch(c.in[0], broadcast(c.in[0].shape, c.ints(1)))
}

// slice takes starts, ends, axes and steps; steps may be left out.
func slice(c *call) array {
	x, starts, ends, axes := c.in[0], c.ints(1), c.ints(2), c.ints(3)
	first, step, shape := make([]int, len(x.shape)), make([]int, len(x.shape)), slices.Clone(x.shape)
	for i := range step {
		step[i] = 1
	}
	for i, a := range axes {
		if c.present(4) {
			step[a] = c.ints(4)[i]
		}
		first[a], shape[a] = span(starts[i], ends[i], step[a], x.shape[a])
	}
	out := zeros(shape...)
	source := make([]int, len(shape))
	walk(shape, func(i int, at []int) {
		for j := range at {
			source[j] = first[j] + at[j]*step[j]
		}
		out.data[i] = x.data[offset(x.shape, source)]
	})
	return out
}

// span resolves one axis of a slice to its first position and its length.
// Positions below zero count from the end; both ends are clamped to the axis.
func span(start, end, step, size int) (first, length int) {
	if start < 0 {
		start += size
	}
	if end < 0 {
		end += size
	}
	if step > 0 {
		start, end = min(max(start, 0), size), min(max(end, 0), size)
		return start, max(0, (end-start+step-1)/step)
	}
	start, end = min(max(start, 0), size-1), min(max(end, -1), size-1)
	return start, max(0, (start-end-step-1)/-step)
}

func concat(c *call) array {
	axis := c.int("axis", 0)
	shape := slices.Clone(c.in[0].shape)
	shape[axis] = 0
	for _, x := range c.in {
		shape[axis] += x.shape[axis]
	}
	out, begin := zeros(shape...), 0
	for _, x := range c.in {
		target := make([]int, len(shape))
		walk(x.shape, func(i int, at []int) {
			copy(target, at)
			target[axis] += begin
			out.data[offset(shape, target)] = x.data[i]
		})
		begin += x.shape[axis]
	}
	return out
}

func split(c *call) (out []array) {
	x, axis, n := c.in[0], c.int("axis", 0), c.int("num_outputs", 0)
	size := x.shape[axis] / n
	for i := range n {
		shape := slices.Clone(x.shape)
		shape[axis] = size
		part := zeros(shape...)
		source := make([]int, len(shape))
		walk(shape, func(j int, at []int) {
			copy(source, at)
			source[axis] += i * size
			part.data[j] = x.data[offset(x.shape, source)]
		})
		out = append(out, part)
	}
	return out
}

func gather(c *call) array {
	x, index, axis := c.in[0], c.in[1], c.int("axis", 0)
	rank := len(index.shape)
	out := zeros(slices.Concat(x.shape[:axis], index.shape, x.shape[axis+1:])...)
	walk(out.shape, func(i int, at []int) {
		pick := int(index.data[offset(index.shape, at[axis:axis+rank])])
		if pick < 0 || pick >= x.shape[axis] {
			panic(fmt.Sprintf("index %d is outside an axis of %d", pick, x.shape[axis]))
		}
		source := slices.Concat(at[:axis], []int{pick}, at[axis+rank:])
		out.data[i] = x.data[offset(x.shape, source)]
	})
	return out
}

// scatterAdd is ScatterElements with reduction add on one axis.
func scatterAdd(c *call) array {
	if len(c.in[0].shape) != 1 || c.Attr("reduction") != "add" {
		panic(fmt.Sprintf("shape %v, reduction %v", c.in[0].shape, c.Attr("reduction")))
	}
	out := mapped(c.in[0], func(x float64) float64 { return x })
	for i, at := range c.ints(1) {
		out.data[at] += c.in[2].data[i]
	}
	return out
}

func pad(c *call) array {
	x, pads := c.in[0], c.ints(1)
	shape := slices.Clone(x.shape)
	for i := range shape {
		shape[i] += pads[i] + pads[len(shape)+i]
	}
	out := zeros(shape...)
	target := make([]int, len(shape))
	walk(x.shape, func(i int, at []int) {
		for j := range at {
			target[j] = at[j] + pads[j]
		}
		out.data[offset(shape, target)] = x.data[i]
	})
	return out
}
