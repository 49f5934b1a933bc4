package graph

import (
	"slices"

	"vicreg/models/tensor"
)

// Reshape views the elements under another shape; one dimension may be -1. It
// does not look at the layout: a blocked value must pass through View first.
func (g *Graph) Reshape(x *Value, shape ...int) *Value {
	if x.Layout != tensor.Plain {
		g.Fail("Reshape", "the value is in the %v layout", x.Layout)
	}
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
	shape, err := TransposeShape(x.Shape, perm)
	if err != nil {
		g.Fail("Transpose", "%v", err)
	}
	return g.op1("Transpose", []Attr{{"perm", perm}}, []*Value{x}, x.Type, shape)
}

// Expand broadcasts x to a shape.
func (g *Graph) Expand(x *Value, shape ...int) *Value {
	out, err := BroadcastShape(x.Shape, shape)
	if err != nil || !slices.Equal(out, shape) {
		g.Fail("Expand", "cannot expand %v to %v", x.Shape, shape)
	}
	return g.op1("Expand", nil, []*Value{x, g.Ints(shape...)}, x.Type, out)
}

// Slice keeps [start, end) of one axis.
func (g *Graph) Slice(x *Value, axis, start, end int) *Value {
	if axis < 0 || axis >= x.Rank() || start < 0 || end > x.Shape[axis] || start >= end {
		g.Fail("Slice", "range %d:%d of axis %d is outside shape %v", start, end, axis, x.Shape)
	}
	shape := slices.Clone(x.Shape)
	shape[axis] = end - start
	return g.op1("Slice", nil, []*Value{x, g.Ints(start), g.Ints(end), g.Ints(axis)}, x.Type, shape)
}

// Flip reverses the order along axes.
func (g *Graph) Flip(x *Value, axes ...int) *Value {
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
	for i, x := range xs {
		shapes[i] = x.Shape
		if x.Layout != tensor.Plain || x.Type != xs[0].Type {
			g.Fail("Concat", "operand %d is %v %v", i, x.Type, x.Layout)
		}
	}
	shape, err := ConcatShape(shapes, axis)
	if err != nil {
		g.Fail("Concat", "%v", err)
	}
	return g.op1("Concat", []Attr{{"axis", axis}}, xs, xs[0].Type, shape)
}

// Gather picks slices of axis by an integer index of any shape, which takes the
// place of the axis in the result.
func (g *Graph) Gather(x, index *Value, axis int) *Value {
	if axis < 0 || axis >= x.Rank() {
		g.Fail("Gather", "axis %d is outside shape %v", axis, x.Shape)
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
	attrs := []Attr{{"axis", 0}, {"reduction", "add"}}
	return g.op1("ScatterElements", attrs, []*Value{data, index, updates}, data.Type, data.Shape)
}

// Pad adds constant zeros: before[i] and after[i] along axis i.
func (g *Graph) Pad(x *Value, before, after []int) *Value {
	if len(before) != x.Rank() || len(after) != x.Rank() || x.Layout != tensor.Plain {
		g.Fail("Pad", "pads %v and %v do not fit %v %v", before, after, x.Layout, x.Shape)
	}
	shape := slices.Clone(x.Shape)
	for i := range shape {
		shape[i] += before[i] + after[i]
	}
	pads := slices.Concat(before, after)
	return g.op1("Pad", []Attr{{"mode", "constant"}}, []*Value{x, g.Ints(pads...)}, x.Type, shape)
}
