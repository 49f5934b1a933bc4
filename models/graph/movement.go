package graph

import (
	"slices"

	"vicreg/models/tensor"
)

// Reshape views the elements under another shape; one dimension may be -1. Blocked and
// channels-last values must pass through View first.
func (g *Graph) Reshape(x *Value, shape ...int) *Value {
	g.plain("Reshape", x)
	out, err := ReshapeShape(x.Shape, shape)
	if err != nil {
		g.Fail("Reshape", "%v", err)
	}
	if slices.Equal(out, x.Shape) {
		return x
	}
	return g.op1("Reshape", nil, []*Value{x, g.Ints(shape...)}, x.Type, out)
}

// Transpose permutes the axes: axis i of the result is axis perm[i] of x.
func (g *Graph) Transpose(x *Value, perm ...int) *Value {
	g.plain("Transpose", x)
	shape, err := TransposeShape(x.Shape, perm)
	if err != nil {
		g.Fail("Transpose", "%v", err)
	}
	return g.op1("Transpose", []Attr{{"perm", perm}}, []*Value{x}, x.Type, shape)
}

// Expand broadcasts x to a shape. A symbolic dimension must already be one of x.
func (g *Graph) Expand(x *Value, shape ...int) *Value {
	g.plain("Expand", x)
	out, err := BroadcastShape(x.Shape, shape)
	if err != nil || !slices.Equal(out, shape) {
		g.Fail("Expand", "cannot expand %v to %v", x.Shape, shape)
	}
	target, lead := slices.Clone(shape), len(shape)-x.Rank()
	for i, d := range shape {
		if d >= 0 {
			continue
		}
		if i < lead || x.Shape[i-lead] != d {
			g.Fail("Expand", "cannot expand %v to %v, whose size is open", x.Shape, shape)
		}
		target[i] = 1 // keeps the size of x
	}
	return g.op1("Expand", nil, []*Value{x, g.Ints(target...)}, x.Type, out)
}

// Slice keeps [start, end) of one axis.
func (g *Graph) Slice(x *Value, axis, start, end int) *Value {
	g.plain("Slice", x)
	if axis < 0 || axis >= x.Rank() || start < 0 || end > x.Shape[axis] || start >= end {
		g.Fail("Slice", "range %d:%d of axis %d is outside shape %v", start, end, axis, x.Shape)
	}
	shape := slices.Clone(x.Shape)
	shape[axis] = end - start
	return g.op1("Slice", nil, []*Value{x, g.Ints(start), g.Ints(end), g.Ints(axis)}, x.Type, shape)
}

// Flip reverses the order along axes.
func (g *Graph) Flip(x *Value, axes ...int) *Value {
	g.plain("Slice", x)
	if _, err := ReduceShape(x.Shape, axes, true); err != nil {
		g.Fail("Slice", "cannot flip axes %v of shape %v", axes, x.Shape)
	}
	n := len(axes)
	last, first, step := make([]int, n), make([]int, n), make([]int, n)
	for i := range axes {
		last[i], first[i], step[i] = -1, -1<<31, -1
	}
	in := []*Value{x, g.Ints(last...), g.Ints(first...), g.Ints(axes...), g.Ints(step...)}
	return g.op1("Slice", nil, in, x.Type, x.Shape)
}

// Concat joins values along an axis.
func (g *Graph) Concat(axis int, xs ...*Value) *Value {
	shapes := make([][]int, len(xs))
	g.plain("Concat", xs...)
	for i, x := range xs {
		shapes[i] = x.Shape
		if x.Type != xs[0].Type {
			g.Fail("Concat", "operand %d is %v, the first is %v", i, x.Type, xs[0].Type)
		}
	}
	shape, err := ConcatShape(shapes, axis)
	if err != nil {
		g.Fail("Concat", "%v", err)
	}
	return g.op1("Concat", []Attr{{"axis", axis}}, xs, xs[0].Type, shape)
}

// Split cuts x along an axis into n equal parts.
func (g *Graph) Split(x *Value, axis, n int) []*Value {
	g.plain("Split", x)
	if axis < 0 || axis >= x.Rank() || n < 1 || x.Shape[axis]%n != 0 {
		g.Fail("Split", "axis %d of %v has no %d equal parts", axis, x.Shape, n)
	}
	parts := make([]*Value, n)
	for i := range parts {
		parts[i] = &Value{Type: x.Type, Shape: slices.Clone(x.Shape)}
		parts[i].Shape[axis] /= n
	}
	return g.op("", "Split", []Attr{{"axis", axis}, {"num_outputs", n}}, []*Value{x}, parts...)
}

// Gather picks slices of axis by an integer index of any shape, which takes the
// place of the axis in the result.
func (g *Graph) Gather(x, index *Value, axis int) *Value {
	g.plain("Gather", x, index)
	if axis < 0 || axis >= x.Rank() {
		g.Fail("Gather", "axis %d is outside shape %v", axis, x.Shape)
	}
	if index.Type != tensor.Int64 && index.Type != tensor.Int32 {
		g.Fail("Gather", "the index is %v", index.Type)
	}
	shape := slices.Concat(x.Shape[:axis], index.Shape, x.Shape[axis+1:])
	return g.op1("Gather", []Attr{{"axis", axis}}, []*Value{x, index}, x.Type, shape)
}

// ScatterAdd adds updates into data at the flat positions index; all three are
// one-dimensional, and index and updates have one length.
func (g *Graph) ScatterAdd(data, index, updates *Value) *Value {
	if data.Rank() != 1 || index.Rank() != 1 || !slices.Equal(index.Shape, updates.Shape) {
		g.Fail("ScatterElements", "data %v, index %v, updates %v", data.Shape, index.Shape, updates.Shape)
	}
	if index.Type != tensor.Int64 || data.Type != updates.Type {
		g.Fail("ScatterElements", "data %v, index %v, updates %v", data.Type, index.Type, updates.Type)
	}
	attrs := []Attr{{"axis", 0}, {"reduction", "add"}}
	return g.op1("ScatterElements", attrs, []*Value{data, index, updates}, data.Type, data.Shape)
}

// ZerosBehind appends n zeros along an axis. The runtime's general CUDA kernel for padding reaches
// 28 GB/s on an H200; the one for pads of the last two of four axes reaches 700, so x is viewed as
// planes. Neither supports bfloat16, which is padded as float32.
func (g *Graph) ZerosBehind(x *Value, axis, n int) *Value {
	if axis < 0 || axis >= x.Rank() || n < 0 || slices.Min(x.Shape) < 0 {
		g.Fail("Pad", "%d zeros behind axis %d of shape %v", n, axis, x.Shape)
	}
	if x.Type == tensor.BFloat16 {
		return g.Cast(g.ZerosBehind(g.Cast(x, tensor.Float32), axis, n), x.Type)
	}
	shape := slices.Clone(x.Shape)
	planes, rows := tensor.Elements(shape[:axis]), shape[axis]
	shape[axis] += n
	x = g.Reshape(x, 1, planes, rows, tensor.Elements(shape[axis+1:]))
	return g.Reshape(g.Pad(x, []int{0, 0, 0, 0}, []int{0, 0, n, 0}), shape...)
}

// Pad adds constant zeros: before[i] and after[i] along axis i.
func (g *Graph) Pad(x *Value, before, after []int) *Value {
	g.plain("Pad", x)
	if len(before) != x.Rank() || len(after) != x.Rank() {
		g.Fail("Pad", "pads %v and %v do not fit %v", before, after, x.Shape)
	}
	shape := slices.Clone(x.Shape)
	for i, d := range shape {
		if min(before[i], after[i]) < 0 || d < 0 && before[i]+after[i] > 0 {
			g.Fail("Pad", "pads %v and %v do not fit %v", before, after, x.Shape)
		}
		shape[i] += before[i] + after[i]
	}
	pads := slices.Concat(before, after)
	return g.op1("Pad", []Attr{{"mode", "constant"}}, []*Value{x, g.Ints(pads...)}, x.Type, shape)
}
