package grad

import (
	"math"

	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// rules maps an operator's key to its gradient. A test checks that every rule has a row in
// rules_test.go.
var rules = map[string]Rule{
	"Add":                       add,
	"Sub":                       sub,
	"Mul":                       mul,
	"Div":                       div,
	"Neg":                       neg,
	"Sqrt":                      sqrt,
	"Reciprocal":                reciprocal,
	"Relu":                      relu,
	"Gelu":                      gelu,
	"Identity":                  identity,
	"Cast":                      cast,
	"MatMul":                    matMul,
	"com.microsoft.FusedMatMul": matMul,
	"Gemm":                      gemm,
	"ReduceSum":                 reduceSum,
	"ReduceMean":                reduceMean,
	"ReduceSumSquare":           reduceSumSquare,
	"Reshape":                   reshape,
	"Transpose":                 transpose,
	"Split":                     split,

	"vicreg.collectives.AllGather": allGather,

	"vicreg.Conv":              convRule,
	"vicreg.BatchNorm":         batchNormRule,
	"vicreg.ConvNorm":          convNormRule,
	"vicreg.GlobalAveragePool": poolRule,
	"vicreg.MaxPool":           maxPoolRule,
}

func add(c *Call) []*graph.Value { return []*graph.Value{c.Dy[0], c.Dy[0]} }

func sub(c *Call) []*graph.Value {
	out := []*graph.Value{c.Dy[0], nil}
	if c.Need[1] {
		out[1] = c.G.Neg(c.Dy[0])
	}
	return out
}

func mul(c *Call) []*graph.Value {
	return c.each(func(i int) *graph.Value { return c.G.Mul(c.Dy[0], c.Inputs[1-i]) })
}

func div(c *Call) []*graph.Value {
	da := c.G.Div(c.Dy[0], c.Inputs[1])
	return c.each(func(i int) *graph.Value {
		if i == 0 {
			return da
		}
		return c.G.Neg(c.G.Mul(da, c.Outputs[0]))
	})
}

func neg(c *Call) []*graph.Value { return []*graph.Value{c.G.Neg(c.Dy[0])} }

func sqrt(c *Call) []*graph.Value {
	return []*graph.Value{c.G.Div(c.Dy[0], c.G.Add(c.Outputs[0], c.Outputs[0]))}
}

func reciprocal(c *Call) []*graph.Value {
	y := c.Outputs[0]
	return []*graph.Value{c.G.Neg(c.G.Mul(c.Dy[0], c.G.Mul(y, y)))}
}

func relu(c *Call) []*graph.Value { return []*graph.Value{masked(c.G, c.Dy[0], c.Outputs[0])} }

// masked is dy where the ReLU output y is positive and 0 elsewhere. On a CPU, one steep HardSigmoid
// computes the mask: measured 2.6 times faster than Where. On CUDA memory bandwidth decides, and a
// mask of bools is the smallest; besides, no slope that half precision can represent takes its
// smallest numbers to 1.
func masked(g *graph.Graph, dy, y *graph.Value) *graph.Value {
	if g.Device == tensor.CUDA || y.Type != tensor.Float32 {
		return g.Where(g.Greater(y, g.Like(y, 0)), dy, g.Like(dy, 0))
	}
	return g.Mul(dy, g.HardSigmoid(y, 1e30, 0))
}

// gelu: y = x Phi(x), y' = Phi(x) + x phi(x).
func gelu(c *Call) []*graph.Value {
	g, x := c.G, c.Inputs[0]
	cdf := g.Mul(g.Add(g.Erf(g.Mul(x, g.Like(x, math.Sqrt2/2))), g.Like(x, 1)), g.Like(x, 0.5))
	pdf := g.Mul(g.Exp(g.Mul(g.Mul(x, x), g.Like(x, -0.5))), g.Like(x, 1/math.Sqrt(2*math.Pi)))
	return []*graph.Value{g.Mul(c.Dy[0], g.Add(cdf, g.Mul(x, pdf)))}
}

func identity(c *Call) []*graph.Value { return c.Dy }

func cast(c *Call) []*graph.Value {
	return []*graph.Value{c.G.Cast(c.Dy[0], c.Inputs[0].Type)}
}

// matMul serves MatMul and FusedMatMul: y = alpha op(a) op(b).
func matMul(c *Call) []*graph.Value {
	a, b, dy := c.Inputs[0], c.Inputs[1], c.Dy[0]
	ta, tb, alpha := c.flag("transA"), c.flag("transB"), c.alpha()
	return c.each(func(i int) *graph.Value {
		switch {
		case i == 0 && ta:
			return c.G.FusedMatMul(b, dy, tb, true, alpha)
		case i == 0:
			return c.G.FusedMatMul(dy, b, false, !tb, alpha)
		case tb:
			return c.G.FusedMatMul(dy, a, true, ta, alpha)
		}
		return c.G.FusedMatMul(a, dy, !ta, false, alpha)
	})
}

// gemm: y = alpha op(a) op(b) + c.
func gemm(c *Call) []*graph.Value {
	a, b, dy := c.Inputs[0], c.Inputs[1], c.Dy[0]
	ta, tb, alpha := c.flag("transA"), c.flag("transB"), c.alpha()
	return c.each(func(i int) *graph.Value {
		switch {
		case i == 2:
			return dy
		case i == 0 && ta:
			return c.G.Gemm(b, dy, nil, graph.GemmAttr{TransA: tb, TransB: true, Alpha: alpha})
		case i == 0:
			return c.G.Gemm(dy, b, nil, graph.GemmAttr{TransB: !tb, Alpha: alpha})
		case tb:
			return c.G.Gemm(dy, a, nil, graph.GemmAttr{TransA: true, TransB: ta, Alpha: alpha})
		}
		return c.G.Gemm(a, dy, nil, graph.GemmAttr{TransA: !ta, Alpha: alpha})
	})
}

func reduceSum(c *Call) []*graph.Value {
	return []*graph.Value{c.G.Expand(c.kept(), c.Inputs[0].Shape...), nil}
}

func reduceMean(c *Call) []*graph.Value {
	x := c.Inputs[0]
	n := float64(x.Elements()) / float64(c.Outputs[0].Elements())
	return []*graph.Value{c.G.Expand(c.G.Mul(c.kept(), c.G.Like(x, 1/n)), x.Shape...), nil}
}

func reduceSumSquare(c *Call) []*graph.Value {
	return []*graph.Value{c.G.Mul(c.G.Mul(c.kept(), c.G.Like(c.Inputs[0], 2)), c.Inputs[0]), nil}
}

// kept is the gradient of a reduction with the reduced axes back as 1.
func (c *Call) kept() *graph.Value {
	shape := append([]int(nil), c.Inputs[0].Shape...)
	for _, a := range c.Inputs[1].Data.Data.([]int64) {
		shape[a] = 1
	}
	return c.G.Reshape(c.Dy[0], shape...)
}

func reshape(c *Call) []*graph.Value {
	return []*graph.Value{c.G.Reshape(c.Dy[0], c.Inputs[0].Shape...), nil}
}

func split(c *Call) []*graph.Value {
	parts := make([]*graph.Value, len(c.Outputs))
	for i, y := range c.Outputs {
		if parts[i] = c.Dy[i]; parts[i] == nil {
			parts[i] = c.G.Mul(y, c.G.Like(y, 0))
		}
	}
	return []*graph.Value{c.G.Concat(c.Attr("axis").(int), parts...)}
}

func transpose(c *Call) []*graph.Value {
	perm := c.Attr("perm").([]int)
	inverse := make([]int, len(perm))
	for i, p := range perm {
		inverse[p] = i
	}
	return []*graph.Value{c.G.Transpose(c.Dy[0], inverse...)}
}

// allGather returns to each process the gradient of its own rows. All processes have the same y and
// must compute the same from it: the gradient of anything upstream is the sum over the processes,
// as in the authors' FullGatherLayer except that it is not divided by their number.
func allGather(c *Call) []*graph.Value {
	rank := c.Attr("rank").(int)
	return c.each(func(i int) *graph.Value {
		if i == len(c.Dy) || c.Dy[i] == nil { // an input without an output only orders collectives
			return nil
		}
		n := c.Inputs[i].Shape[0]
		return c.G.Slice(c.Dy[i], 0, rank*n, (rank+1)*n)
	})
}

// each calls f for the inputs that need a gradient.
func (c *Call) each(f func(i int) *graph.Value) []*graph.Value {
	out := make([]*graph.Value, len(c.Inputs))
	for i := range out {
		if c.Need[i] {
			out[i] = f(i)
		}
	}
	return out
}

func (c *Call) flag(name string) bool { return c.Attr(name) == 1 }

func (c *Call) alpha() float32 {
	if a, ok := c.Attr("alpha").(float32); ok {
		return a
	}
	return 1
}
