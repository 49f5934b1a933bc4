package grad

import (
	"fmt"

	"vicreg/models/graph"
)

// lastInputGrad is inputGrad in the NHWC layout.
func (c convolution) lastInputGrad(dy *graph.Value) *graph.Value {
	if c.cudnn() {
		return c.cudnnInputGrad(dy)
	}
	g, s := c.g, c.win.Stride
	n, ch, h, w := c.x.Shape[0], c.w.Shape[1], c.x.Shape[2], c.x.Shape[3]
	if c.pointwise() {
		dx := g.Gemm(g.Rows(dy), g.Reshape(c.scaled(), c.w.Shape[0], ch), nil, graph.GemmAttr{})
		return c.spread(dx)
	}
	rows := c.phases(h, dy.Shape[2], c.win.KH, c.win.Pads[0])
	cols := c.phases(w, dy.Shape[3], c.win.KW, c.win.Pads[1])
	row, col := common(rows), common(cols)
	if row.size*s != h || col.size*s != w {
		return g.ToNHWC(c.transposed(dy))
	}
	win := window(row, col)
	if min(win.Pads[0], win.Pads[1], win.Pads[2], win.Pads[3]) < 0 {
		return g.ToNHWC(c.transposed(dy))
	}
	dx := g.ConvNHWC(dy, c.phaseWeights(rows, cols, row, col), win) // [N, s*s*C, H/s, W/s]
	if s > 1 {
		dx = g.Transpose(g.View(dx, n*h/s, w/s, s, s*ch), 0, 2, 1, 3)
		dx = g.FromRows(dx, n, ch, h, w)
	}
	return dx
}

// spread puts the rows of a pointwise convolution's input gradient at the pixels that were read,
// and zeros at the others.
func (c convolution) spread(dx *graph.Value) *graph.Value {
	g, s := c.g, c.win.Stride
	n, ch, h, w := c.x.Shape[0], c.w.Shape[1], c.x.Shape[2], c.x.Shape[3]
	if s == 1 {
		return g.FromRows(dx, n, ch, h, w)
	}
	oh, ow := c.win.Out(h, w)
	dx = g.ZerosBehind(g.Reshape(dx, n*oh*ow, 1, ch), 1, s-1)
	dx = g.ZerosBehind(g.Reshape(dx, n*oh, 1, ow*s*ch), 1, s-1)
	dx = g.Reshape(dx, n, oh*s, ow*s, ch)
	if oh*s > h {
		dx = g.Slice(dx, 1, 0, h)
	}
	if ow*s > w {
		dx = g.Slice(dx, 2, 0, w)
	}
	return g.FromRows(dx, n, ch, h, w)
}

// common returns a phase that covers the taps of all given phases, or an empty one if their sizes
// differ. Only the number of its taps is meaningful.
func common(all []phase) phase {
	var c phase
	after := 0
	for _, p := range all {
		if c.size > 0 && p.size != c.size {
			return phase{}
		}
		c.size = p.size
		if len(p.taps) > 0 {
			c.before = max(c.before, p.before)
			after = max(after, len(p.taps)-1-p.before)
		}
	}
	if len(all) == 0 {
		return phase{}
	}
	c.taps = make([]int, c.before+1+after)
	for _, p := range all {
		if len(p.taps) > 0 {
			c.after = max(c.after, p.after+after-(len(p.taps)-1-p.before))
		}
	}
	return c
}

// phaseWeights returns weights for one convolution of dy that computes all phases as channels:
// [s*s*C, KH', KW', M], zero where a phase has no tap.
func (c convolution) phaseWeights(rows, cols []phase, row, col phase) *graph.Value {
	g, m, ch := c.g, c.w.Shape[0], c.w.Shape[1]
	kh, kw, taps := len(row.taps), len(col.taps), c.win.KH*c.win.KW
	build := func() *graph.Value {
		if c.win.Stride == 1 {
			return g.Flip(g.Transpose(c.scaled(), 1, 2, 3, 0), 1, 2)
		}
		w := g.Reshape(g.Transpose(c.scaled(), 2, 3, 1, 0), taps, ch, m)
		w = g.ZerosBehind(w, 0, 1)
		name := fmt.Sprintf("phases(%v,%d,%d)", c.win, c.x.Shape[2], c.x.Shape[3])
		index := intIndex(g, name, len(rows)*len(cols)*kh*kw, func(i int) int {
			at, j := i/(kh*kw), i%(kh*kw)
			return tapAt(rows[at/len(cols)], row, j/kw, cols[at%len(cols)], col, j%kw, c.win.KW, taps)
		})
		w = g.Reshape(g.Gather(w, index, 0), len(rows)*len(cols), kh*kw, ch, m)
		return g.Reshape(g.Transpose(w, 0, 2, 1, 3), len(rows)*len(cols)*ch, kh, kw, m)
	}
	if c.scale != nil { // the scale belongs to one view, so nothing can be shared
		return build()
	}
	return g.Once(graph.Key{Of: c.w, Made: "phases"}, build)
}

// tapAt returns the kernel's tap at place (i, j) of the common window of phases row and col, or
// none where they have no tap.
func tapAt(row, rows phase, i int, col, cols phase, j, kw, none int) int {
	i, j = i-rows.before+row.before, j-cols.before+col.before
	if i < 0 || i >= len(row.taps) || j < 0 || j >= len(col.taps) {
		return none
	}
	return row.taps[i]*kw + col.taps[j]
}
