package reference

import (
	"fmt"

	"vicreg/models/tensor"
)

// The blocked operators work on memory [N, C/b, H, W, b] of logical shape [N, C, H, W]. They are
// written in terms of the plain operators.

func reorderInput(c *call) array {
	if c.int("channels_last", 0) == 1 {
		return block(permuted(c.in[0], []int{0, 3, 1, 2}), c.block)
	}
	return block(c.in[0], c.block)
}

func reorderOutput(c *call) array {
	x := unblock(c.in[0], c.block)
	if c.int("channels", 0) != x.shape[1] {
		panic(fmt.Sprintf("channels %v of shape %v", c.Attr("channels"), x.shape))
	}
	if c.int("channels_last", 0) == 1 {
		return permuted(x, []int{0, 2, 3, 1})
	}
	return x
}

// blockedMean averages each channel over its pixels.
func blockedMean(c *call) array {
	x := unblock(c.in[0], c.block)
	pixels := x.shape[2] * x.shape[3]
	out := zeros(x.shape[0], x.shape[1], 1, 1)
	for i, v := range x.data {
		out.data[i/pixels] += v / float64(pixels)
	}
	return block(out, c.block)
}

// blockedConv is Relu(conv(x, w) + bias + sum), where bias, sum and Relu may be
// left out. An x of fewer channels than a block is plain.
func blockedConv(c *call) array {
	x, group := c.in[0], c.int("group", 1)
	if c.Inputs[0].Layout == tensor.NCHWc {
		x = unblock(x, c.block)
	}
	bias := array{}
	if c.present(2) {
		bias = c.in[2]
	}
	y := block(convolve(x, unblockWeights(c.in[1], c.block), bias, c.Window(), group), c.block)
	if c.present(3) {
		y = zip(y, c.in[3], func(a, b float64) float64 { return a + b })
	}
	switch c.Attr("activation") {
	case nil:
		return y
	case "Relu":
		return mapped(y, relu)
	}
	panic(fmt.Sprintf("activation %v", c.Attr("activation")))
}

// block reorders a row-major x into blocks of b channels.
func block(x array, b int) array {
	n, c, h, w := x.shape[0], x.shape[1], x.shape[2], x.shape[3]
	if b == 0 || c%b != 0 {
		panic(fmt.Sprintf("%d channels in blocks of %d", c, b))
	}
	split := array{[]int{n, c / b, b, h, w}, x.data}
	return array{x.shape, permuted(split, []int{0, 1, 3, 4, 2}).data}
}

// unblock is the inverse of block.
func unblock(x array, b int) array {
	n, c, h, w := x.shape[0], x.shape[1], x.shape[2], x.shape[3]
	if b == 0 || c%b != 0 {
		panic(fmt.Sprintf("%d channels in blocks of %d", c, b))
	}
	split := array{[]int{n, c / b, h, w, b}, x.data}
	return array{x.shape, permuted(split, []int{0, 1, 4, 2, 3}).data}
}

// unblockWeights reorders weights of logical shape [M, C, KH, KW] from OIHWBiBo, or from OIHWBo if
// C is smaller than a block, to row-major.
func unblockWeights(w array, b int) array {
	m, c, kh, kw := w.shape[0], w.shape[1], w.shape[2], w.shape[3]
	if c < b {
		split := array{[]int{m / b, c, kh, kw, b}, w.data}
		return array{w.shape, permuted(split, []int{0, 4, 1, 2, 3}).data}
	}
	split := array{[]int{m / b, c / b, kh, kw, b, b}, w.data}
	return array{w.shape, permuted(split, []int{0, 5, 1, 4, 2, 3}).data}
}
