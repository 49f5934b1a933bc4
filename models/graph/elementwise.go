package graph

import (
	"slices"

	"vicreg/models/tensor"
)

// Add is a + b, broadcast.
func (g *Graph) Add(a, b *Value) *Value { return g.binary("Add", a, b) }

// Sub is a - b, broadcast.
func (g *Graph) Sub(a, b *Value) *Value { return g.binary("Sub", a, b) }

// Mul is a * b element by element, broadcast.
func (g *Graph) Mul(a, b *Value) *Value { return g.binary("Mul", a, b) }

// Div is a / b, broadcast.
func (g *Graph) Div(a, b *Value) *Value { return g.binary("Div", a, b) }

// Max is the larger of a and b, broadcast.
func (g *Graph) Max(a, b *Value) *Value { return g.binary("Max", a, b) }

// Min is the smaller of a and b, broadcast.
func (g *Graph) Min(a, b *Value) *Value { return g.binary("Min", a, b) }

// Pow is a to the power b, broadcast.
func (g *Graph) Pow(a, b *Value) *Value { return g.binary("Pow", a, b) }

// Sum adds up values of one shape, several of them per pass over memory.
func (g *Graph) Sum(xs ...*Value) *Value {
	for _, x := range xs {
		if x.Type != xs[0].Type || x.Layout != xs[0].Layout || !slices.Equal(x.Shape, xs[0].Shape) {
			g.Fail("Sum", "%v%v and %v%v are not alike", xs[0].Type, xs[0].Shape, x.Type, x.Shape)
		}
	}
	return g.op("", "Sum", nil, xs, &Value{Type: xs[0].Type, Shape: slices.Clone(xs[0].Shape), Layout: xs[0].Layout})[0]
}

// Greater is a > b as bool, broadcast.
func (g *Graph) Greater(a, b *Value) *Value {
	v := g.binary("Greater", a, b)
	v.Type = tensor.Bool
	return v
}

// And is a && b on bools, broadcast.
func (g *Graph) And(a, b *Value) *Value {
	if a.Type != tensor.Bool {
		g.Fail("And", "the operands are %v", a.Type)
	}
	return g.binary("And", a, b)
}

// Where is a where cond is true and b elsewhere; all three have one shape or broadcast.
func (g *Graph) Where(cond, a, b *Value) *Value {
	if cond.Type != tensor.Bool || a.Type != b.Type {
		g.Fail("Where", "a condition of %v does not select between %v and %v", cond.Type, a.Type, b.Type)
	}
	ab := &Value{Type: a.Type}
	ab.Shape, ab.Layout = g.broadcast("Where", a, b)
	shape, layout := g.broadcast("Where", cond, ab)
	return g.op("", "Where", nil, []*Value{cond, a, b}, &Value{Type: a.Type, Shape: shape, Layout: layout})[0]
}

// Neg is -x.
func (g *Graph) Neg(x *Value) *Value { return g.unary("Neg", x) }

// Sqrt is the square root.
func (g *Graph) Sqrt(x *Value) *Value { return g.unary("Sqrt", x) }

// Reciprocal is 1/x.
func (g *Graph) Reciprocal(x *Value) *Value { return g.unary("Reciprocal", x) }

// Exp is e^x.
func (g *Graph) Exp(x *Value) *Value { return g.unary("Exp", x) }

// Erf is the error function.
func (g *Graph) Erf(x *Value) *Value { return g.unary("Erf", x) }

// Abs is |x|.
func (g *Graph) Abs(x *Value) *Value { return g.unary("Abs", x) }

// Relu is max(x, 0).
func (g *Graph) Relu(x *Value) *Value { return g.unary("Relu", x) }

// Gelu is x * Phi(x), exact (erf).
func (g *Graph) Gelu(x *Value) *Value { return g.unary("Gelu", x) }

// Identity is x under another name.
func (g *Graph) Identity(x *Value) *Value { return g.unary("Identity", x) }

// HardSigmoid is max(0, min(1, alpha*x + beta)).
func (g *Graph) HardSigmoid(x *Value, alpha, beta float32) *Value {
	return g.unary("HardSigmoid", x, Attr{"alpha", alpha}, Attr{"beta", beta})
}

// Not negates a bool.
func (g *Graph) Not(x *Value) *Value {
	if x.Type != tensor.Bool {
		g.Fail("Not", "the operand is %v", x.Type)
	}
	return g.unary("Not", x)
}

// IsNaN is true where x is NaN.
func (g *Graph) IsNaN(x *Value) *Value { return g.predicate("IsNaN", x) }

// IsInf is true where x is infinite.
func (g *Graph) IsInf(x *Value) *Value { return g.predicate("IsInf", x) }

// Cast converts the element type. It returns x itself if it has that type already.
func (g *Graph) Cast(x *Value, to tensor.DType) *Value {
	if x.Type == to {
		return x
	}
	v := g.unary("Cast", x, Attr{"to", int(to)})
	v.Type = to
	return v
}

// CastOnce is Cast for values with many uses, such as parameters: all share one cast.
func (g *Graph) CastOnce(x *Value, to tensor.DType) *Value {
	return g.Once(Key{x, to.String()}, func() *Value { return g.Cast(x, to) })
}

func (g *Graph) predicate(op string, x *Value) *Value {
	v := g.unary(op, x)
	v.Type = tensor.Bool
	return v
}

func (g *Graph) unary(op string, x *Value, attrs ...Attr) *Value {
	return g.op("", op, attrs, []*Value{x}, &Value{Type: x.Type, Shape: slices.Clone(x.Shape), Layout: x.Layout})[0]
}

func (g *Graph) binary(op string, a, b *Value) *Value {
	if a.Type != b.Type {
		g.Fail(op, "types %v and %v differ", a.Type, b.Type)
	}
	shape, layout := g.broadcast(op, a, b)
	return g.op("", op, nil, []*Value{a, b}, &Value{Type: a.Type, Shape: shape, Layout: layout})[0]
}

// broadcast infers shape and layout. Blocked and channels-last values combine only with values of
// the same layout and shape, and with single elements: anything else would pair the wrong channels.
func (g *Graph) broadcast(op string, a, b *Value) ([]int, tensor.Layout) {
	shape, err := BroadcastShape(a.Shape, b.Shape)
	if err != nil {
		g.Fail(op, "%v", err)
	}
	if a.Layout == b.Layout {
		if a.Layout != tensor.Plain && !slices.Equal(a.Shape, b.Shape) {
			g.Fail(op, "%v values of shapes %v and %v", a.Layout, a.Shape, b.Shape)
		}
		return shape, a.Layout
	}
	plain, other := a, b
	if b.Layout == tensor.Plain {
		plain, other = b, a
	}
	if plain.Layout != tensor.Plain || plain.Elements() != 1 {
		g.Fail(op, "layouts of %v%v and %v%v differ", a.Layout, a.Shape, b.Layout, b.Shape)
	}
	return shape, other.Layout
}
