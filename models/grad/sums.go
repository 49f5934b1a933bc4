package grad

import (
	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// addends bounds how many numbers are accumulated in sequence in one float32. With 16 times as
// many, sums were 10 times less accurate, which showed in the signs of activations.
const addends = 1024

// channelSums returns, per channel, the sum of a and the sum of a*b: [C] each.
// They are float32 whatever a and b are.
func channelSums(g *graph.Graph, a, b *graph.Value) (sum, dot *graph.Value) {
	a, b = g.Cast(a, tensor.Float32), g.Cast(b, tensor.Float32)
	switch {
	case a.Rank() == 2:
		return g.ReduceSum(a, false, 0), g.ReduceSum(g.Mul(a, b), false, 0)
	case a.Layout == tensor.NCHWc:
		return blockedSums(g, a, b)
	}
	n, c, l := a.Shape[0], a.Shape[1], a.Shape[2]*a.Shape[3]
	// In two stages: a sum over the first and the last axis at once is twice as slow.
	sum = g.ReduceSum(g.ReduceSum(a, false, 2, 3), false, 0)
	return sum, g.ReduceSum(g.Reshape(rowDots(g, a, b, n*c, l), n, c), false, 0)
}

// rowDots are the dot products of the rows of a and b [rows, l].
func rowDots(g *graph.Graph, a, b *graph.Value, rows, l int) *graph.Value {
	switch {
	case l >= addends:
		// A batched dot product reads each operand once and writes almost nothing, but each product
		// has an overhead of 0.14 us.
		return g.FusedMatMul(g.Reshape(a, rows, 1, l), g.Reshape(b, rows, 1, l), false, true, 1)
	case a == b:
		return g.ReduceSumSquare(g.Reshape(a, rows, l), false, 1)
	}
	return g.ReduceSum(g.Reshape(g.Mul(a, b), rows, l), false, 1)
}

// blockedSums is channelSums in the NCHWc layout. The products are a depthwise convolution of a
// with b as its weights: it reads each operand once and writes almost nothing, as no other operator
// does here.
func blockedSums(g *graph.Graph, a, b *graph.Value) (sum, dot *graph.Value) {
	n, c, h, w := a.Shape[0], a.Shape[1], a.Shape[2], a.Shape[3]
	parts := 1
	for h%parts != 0 || h/parts*w > addends && parts < h {
		parts++
	}
	h /= parts
	planes := n * c * parts // [N, C/b, parts, h*w, b] in memory
	view := func(x *graph.Value) *graph.Value { return g.Unview(x, 1, planes, h, w) }
	fold := func(x *graph.Value) *graph.Value {
		if parts == 1 {
			return g.ReduceSum(g.View(x, n, c), false, 0)
		}
		return g.Reshape(g.ReduceSum(g.View(x, n, c/g.Block, parts, g.Block), false, 0, 2), c)
	}
	va := view(a)
	products := g.BlockedConv(va, g.View(b, planes, 1, h, w), []int{planes, 1, h, w}, graph.Window{KH: h, KW: w, Stride: 1}, planes, graph.Epilogue{})
	return g.Mul(fold(g.BlockedMean(va)), g.Float(float64(h*w))), fold(products)
}
