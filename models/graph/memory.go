package graph

import "vicreg/models/tensor"

// The methods of this file rearrange memory and depend on no axis of the tensor, only on its size.
// The NCHWc layout is made and unmade by two swaps: of pixels with the lanes of a block, and of two
// axes whose rows are a block long. The runtime's ReorderInput and ReorderOutput do exactly these,
// with all threads; Transpose would do the same on one, 3 to 6 times slower.

// View views the memory of a value as a plain tensor. Without a shape, a blocked value [N, C, H, W]
// becomes [N, C/b, H*W, b].
func (g *Graph) View(x *Value, shape ...int) *Value {
	if len(shape) == 0 {
		if x.Layout != tensor.NCHWc {
			g.Fail("Reshape", "view of %s, which is not blocked", x.Name)
		}
		shape = []int{x.Shape[0], x.Shape[1] / g.Block, x.Shape[2] * x.Shape[3], g.Block}
	}
	if x.Layout == tensor.Plain {
		return g.Reshape(x, shape...)
	}
	shape, err := ReshapeShape(x.Shape, shape)
	if err != nil {
		g.Fail("Reshape", "%v", err)
	}
	return g.op1("Reshape", nil, []*Value{x, g.Ints(shape...)}, x.Type, shape)
}

// Unview views the memory of a value, [N, C/b, H*W, b] with its axes grouped in any way, as a
// blocked [N, C, H, W].
func (g *Graph) Unview(x *Value, n, c, h, w int) *Value {
	if x.Elements() != n*c*h*w || !g.Blocks(c) {
		g.Fail("Reshape", "%v does not hold a blocked %v", x.Shape, []int{n, c, h, w})
	}
	v := g.op1("Reshape", nil, []*Value{x, g.Ints(n, c, h, w)}, x.Type, []int{n, c, h, w})
	v.Layout = tensor.NCHWc
	return v
}

// LanesLast turns memory [R, b, S] into [R, S, b], b being the channel block.
func (g *Graph) LanesLast(x *Value, r int) *Value {
	s := g.rows("LanesLast", x, r)
	y := g.blocked("ReorderInput", nil, []*Value{g.View(x, r, g.Block, s, 1)}, []int{r, g.Block, s, 1})
	return g.View(y, r, s, g.Block)
}

// LanesFirst turns memory [R, S, b] into [R, b, S], b being the channel block.
func (g *Graph) LanesFirst(x *Value, r int) *Value {
	s := g.rows("LanesFirst", x, r)
	return g.Reshape(g.ToPlain(g.Unview(x, r, g.Block, s, 1)), r, g.Block, s)
}

// SwapRows turns memory [R, S, A, b] into [R, A, S, b], b being the channel block.
func (g *Graph) SwapRows(x *Value, r, s int) *Value {
	a := g.rows("SwapRows", x, r*s)
	attrs := []Attr{{"channels_last", 1}}
	in := []*Value{g.View(x, r, 1, s, a*g.Block)}
	return g.View(g.blocked("ReorderInput", attrs, in, []int{r, a * g.Block, 1, s}), r, a, s, g.Block)
}

// rows is the number of block-long rows in each of r parts of x.
func (g *Graph) rows(op string, x *Value, r int) int {
	if g.Block == 0 || r < 1 || x.Elements()%(r*g.Block) != 0 {
		g.Fail(op, "%v is not %d parts of whole blocks of %d", x.Shape, r, g.Block)
	}
	return x.Elements() / (r * g.Block)
}

// BlockWeights lays weights [M, C, KH, KW] out for BlockedConv: OIHWBiBo, or
// OIHWBo when C is smaller than a block. The result's shape stays [M, C, KH, KW].
func (g *Graph) BlockWeights(w *Value) *Value {
	if w.Rank() != 4 || !g.Blocks(w.Shape[0]) || w.Shape[1] >= g.Block && !g.Blocks(w.Shape[1]) {
		g.Fail("BlockWeights", "weight %v has no blocks of %d", w.Shape, g.Block)
	}
	m, c, b := w.Shape[0], w.Shape[1], g.Block
	y := g.LanesLast(w, m/b) // [M/b, C*K, b]
	if c >= b && w.Shape[2]*w.Shape[3] > 1 {
		y = g.SwapRows(y, m/b*(c/b), b) // [M/b, C/b, K, b, b]
	}
	return g.Reshape(y, w.Shape...)
}
