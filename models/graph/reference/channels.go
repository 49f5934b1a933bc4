package reference

import "slices"

// The channels-last operators work on [N, H, W, C]. They are written in terms of the plain ones.

func first(x array) array { return permuted(x, []int{0, 3, 1, 2}) }
func last(x array) array  { return permuted(x, []int{0, 2, 3, 1}) }

// lastChannels applies a plain operator to a channels-last first input.
func lastChannels(c *call, op func(*call) array) array {
	plain := *c
	plain.in = slices.Clone(c.in)
	plain.in[0] = first(c.in[0])
	return last(op(&plain))
}

// convNHWC reads its weights as [M, KH, KW, C] with a bias, and as [M, C, KH, KW] without one.
func convNHWC(c *call) array {
	if !c.present(2) {
		return last(convolve(first(c.in[0]), c.in[1], array{}, c.Window(), 1))
	}
	return last(convolve(first(c.in[0]), first(c.in[1]), c.in[2], c.Window(), 1))
}

// maxPoolNHWC returns the positions of the maxima as those in a plain input.
func maxPoolNHWC(c *call) []array {
	plain := *c
	plain.in = []array{first(c.in[0])}
	out := maxPool(&plain)
	return []array{last(out[0]), out[1]}
}

func meanNHWC(c *call) array {
	x := c.in[0]
	n, pixels, ch := x.shape[0], x.shape[1]*x.shape[2], x.shape[3]
	out := zeros(n, 1, 1, ch)
	for i, v := range x.data {
		out.data[i/(pixels*ch)*ch+i%ch] += v / float64(pixels)
	}
	return out
}

func gatedAdd(c *call) array {
	product := zip(c.in[1], c.in[2], func(a, b float64) float64 { return a * b })
	return zip(c.in[0], product, func(a, b float64) float64 { return a + b })
}

func biasAdd(c *call) array {
	add := func(a, b float64) float64 { return a + b }
	return zip(zip(c.in[0], c.in[1], add), c.in[2], add)
}
