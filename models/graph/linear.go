package graph

import "slices"

// MatMul is the matrix product over the last two axes, the others broadcast.
func (g *Graph) MatMul(a, b *Value) *Value {
	return g.product("", "MatMul", nil, a, b, false, false)
}

// FusedMatMul is alpha * op(a) op(b) over the last two axes, where op transposes if its flag is
// set. It is ONNX Runtime's own operator, which saves the transposed copy; a Standard graph uses
// standard operators instead.
func (g *Graph) FusedMatMul(a, b *Value, transA, transB bool, alpha float32) *Value {
	if g.Standard {
		return g.spelledOut(a, b, transA, transB, alpha)
	}
	attrs := []Attr{{"alpha", alpha}, {"transA", bit(transA)}, {"transB", bit(transB)}}
	return g.product(DomainMS, "FusedMatMul", attrs, a, b, transA, transB)
}

func (g *Graph) spelledOut(a, b *Value, transA, transB bool, alpha float32) *Value {
	if _, err := MatMulShape(a.Shape, b.Shape, transA, transB); err != nil {
		g.Fail("FusedMatMul", "%v", err)
	}
	if transA {
		a = g.matrixTranspose(a)
	}
	if transB {
		b = g.matrixTranspose(b)
	}
	y := g.MatMul(a, b)
	if alpha != 1 {
		y = g.Mul(y, g.Float(float64(alpha)))
	}
	return y
}

// matrixTranspose swaps the last two axes.
func (g *Graph) matrixTranspose(x *Value) *Value {
	perm := make([]int, x.Rank())
	for i := range perm {
		perm[i] = i
	}
	last := len(perm) - 1
	perm[last], perm[last-1] = last-1, last
	return g.Transpose(x, perm...)
}

func (g *Graph) product(domain, op string, attrs []Attr, a, b *Value, transA, transB bool) *Value {
	shape, err := MatMulShape(a.Shape, b.Shape, transA, transB)
	if err != nil {
		g.Fail(op, "%v", err)
	}
	g.plain(op, a, b)
	if a.Type != b.Type {
		g.Fail(op, "operands are %v and %v", a.Type, b.Type)
	}
	return g.op(domain, op, attrs, []*Value{a, b}, &Value{Type: a.Type, Shape: shape})[0]
}

// GemmAttr are the attributes of Gemm; an Alpha of 0 means 1.
type GemmAttr struct {
	TransA, TransB bool
	Alpha          float32
}

// Gemm is alpha * op(a) op(b) + c on matrices; c may be nil and broadcasts to
// the result.
func (g *Graph) Gemm(a, b, c *Value, attr GemmAttr) *Value {
	g.plain("Gemm", a, b)
	if a.Rank() != 2 || b.Rank() != 2 || a.Type != b.Type {
		g.Fail("Gemm", "%v%v and %v%v are not matrices of one type", a.Type, a.Shape, b.Type, b.Shape)
	}
	shape, err := MatMulShape(a.Shape, b.Shape, attr.TransA, attr.TransB)
	if err != nil {
		g.Fail("Gemm", "%v", err)
	}
	inputs := []*Value{a, b}
	if c != nil {
		if out, err := BroadcastShape(shape, c.Shape); err != nil || !slices.Equal(out, shape) {
			g.Fail("Gemm", "%v does not broadcast to the result %v", c.Shape, shape)
		}
		inputs = append(inputs, c)
	}
	if attr.Alpha == 0 {
		attr.Alpha = 1
	}
	attrs := []Attr{{"alpha", attr.Alpha}, {"transA", bit(attr.TransA)}, {"transB", bit(attr.TransB)}}
	return g.op1("Gemm", attrs, inputs, a.Type, shape)
}

// GatedAdd is x + y*gate in one pass over memory, where x and y are [k, n] and gate
// is [k, 1]: ONNX Runtime's own operator, on CUDA.
func (g *Graph) GatedAdd(x, y, gate *Value) *Value {
	g.plain("GatedAdd", x, y, gate)
	if x.Rank() != 2 || !slices.Equal(x.Shape, y.Shape) || !slices.Equal(gate.Shape, []int{x.Shape[0], 1}) ||
		x.Type != y.Type || x.Type != gate.Type {
		g.Fail("GatedAdd", "%v%v and %v%v with gate %v%v do not fit", x.Type, x.Shape, y.Type, y.Shape, gate.Type, gate.Shape)
	}
	return g.op(DomainMS, "GatedAdd", nil, []*Value{x, y, gate}, &Value{Type: x.Type, Shape: slices.Clone(x.Shape)})[0]
}

// ReduceSum sums over axes, which count from the front.
func (g *Graph) ReduceSum(x *Value, keep bool, axes ...int) *Value {
	return g.reduce("ReduceSum", x, keep, axes)
}

// ReduceMean averages over axes, which count from the front.
func (g *Graph) ReduceMean(x *Value, keep bool, axes ...int) *Value {
	return g.reduce("ReduceMean", x, keep, axes)
}

// ReduceSumSquare sums squares over axes, which count from the front.
func (g *Graph) ReduceSumSquare(x *Value, keep bool, axes ...int) *Value {
	return g.reduce("ReduceSumSquare", x, keep, axes)
}

func (g *Graph) reduce(op string, x *Value, keep bool, axes []int) *Value {
	g.plain(op, x)
	shape, err := ReduceShape(x.Shape, axes, keep)
	if err != nil {
		g.Fail(op, "%v", err)
	}
	return g.op1(op, []Attr{{"keepdims", bit(keep)}}, []*Value{x, g.Ints(axes...)}, x.Type, shape)
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}
