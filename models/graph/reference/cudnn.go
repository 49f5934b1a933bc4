package reference

import (
	"math"

	"vicreg/models/graph"
)

// The operators over cuDNN work on [N, H, W, C] with weights [M, KH, KW, C].

// cudnnWindow is the window of a node whose kernel has kh x kw taps.
func (c *call) cudnnWindow(kh, kw int) graph.Window {
	pads := c.Attr("pads").([]int)
	return graph.Window{KH: kh, KW: kw, Stride: c.int("stride", 1), Pads: [4]int{pads[0], pads[1], pads[0], pads[1]}}
}

func cudnnConv(c *call) array {
	x, w := c.in[0], c.in[1]
	return last(convolve(first(x), first(w), array{}, c.cudnnWindow(w.shape[1], w.shape[2]), 1))
}

// pairs visits the elements that a convolution combines, for a result y [N, OH, OW, M] of x [N, H,
// W, C]: one of x, one of y and one of the weights w each time.
func pairs(x, y, w []int, win graph.Window, visit func(x, y, w int)) {
	walk(y, func(at int, o []int) {
		walk(w[1:], func(_ int, k []int) {
			iy, ix := o[1]*win.Stride+k[0]-win.Pads[0], o[2]*win.Stride+k[1]-win.Pads[1]
			if iy >= 0 && iy < x[1] && ix >= 0 && ix < x[2] {
				visit(offset(x, []int{o[0], iy, ix, k[2]}), at, offset(w, []int{o[3], k[0], k[1], k[2]}))
			}
		})
	})
}

func cudnnConvInputGrad(c *call) array {
	dy, w, size := c.in[0], c.in[1], c.Attr("size").([]int)
	dx := zeros(dy.shape[0], size[0], size[1], w.shape[3])
	pairs(dx.shape, dy.shape, w.shape, c.cudnnWindow(w.shape[1], w.shape[2]), func(i, o, k int) {
		dx.data[i] += dy.data[o] * w.data[k]
	})
	return dx
}

func cudnnConvWeightGrad(c *call) array {
	dy, x, kernel := c.in[0], c.in[1], c.Attr("kernel").([]int)
	dw := zeros(dy.shape[3], kernel[0], kernel[1], x.shape[3])
	pairs(x.shape, dy.shape, dw.shape, c.cudnnWindow(kernel[0], kernel[1]), func(i, o, k int) {
		dw.data[k] += dy.data[o] * x.data[i]
	})
	return dw
}

// lastMoments are mean and variance by channel, the last axis.
func lastMoments(x array) (mean, variance []float64) {
	ch := x.shape[len(x.shape)-1]
	mean, variance = make([]float64, ch), make([]float64, ch)
	n := float64(len(x.data) / ch)
	for i, v := range x.data {
		mean[i%ch] += v / n
	}
	for i, v := range x.data {
		variance[i%ch] += (v - mean[i%ch]) * (v - mean[i%ch]) / n
	}
	return mean, variance
}

// groups returns the number of groups of a batch of n elements, and the elements in each.
func (c *call) groups(n int) (count, size int) {
	count = max(c.int("groups", 1), 1)
	return count, n / count
}

// statistics are mean, variance and 1/sqrt(variance+eps) of the channels of x in each group.
func (c *call) statistics(x array, like []int) []array {
	ch, eps := x.shape[len(x.shape)-1], c.float("eps", 0)
	count, size := c.groups(len(x.data))
	all := []array{{shape: like}, {shape: like}, {shape: like}}
	for i := range count {
		m, v := lastMoments(array{[]int{size / ch, ch}, x.data[i*size : (i+1)*size]})
		all[0].data, all[1].data = append(all[0].data, m...), append(all[1].data, v...)
	}
	for _, v := range all[1].data {
		all[2].data = append(all[2].data, 1/math.Sqrt(v+eps))
	}
	return all
}

// normalized is x normalised by statistics, plus the residual z if it has data, then ReLU if the
// node has it. It also returns the mask, if that has a shape.
func (c *call) normalized(x array, gamma, beta, mean, istd []float64, z array, mask []int) (y array, masks []array) {
	ch := len(gamma)
	_, size := c.groups(len(x.data))
	y = zeros(x.shape...)
	for i, v := range x.data {
		k := i/size*ch + i%ch
		y.data[i] = (v-mean[k])*istd[k]*gamma[i%ch] + beta[i%ch]
		if z.data != nil {
			y.data[i] += z.data[i]
		}
	}
	if mask != nil {
		masks = []array{maskOf(y, mask[0])}
	}
	if c.int("relu", 0) == 1 {
		for i, v := range y.data {
			y.data[i] = max(v, 0)
		}
	}
	return y, masks
}

// optional returns an input that may be left out, and shapeOf the shape of an output that may be.
func (c *call) optional(i int) array {
	if c.present(i) {
		return c.in[i]
	}
	return array{}
}

func (c *call) shapeOf(i int) []int {
	if i < len(c.Outputs) {
		return c.Outputs[i].Shape
	}
	return nil
}

func cudnnConvMoments(c *call) []array {
	y := cudnnConv(c)
	return append([]array{y}, c.statistics(y, c.Outputs[1].Shape)...)
}

func fusedBatchNorm(c *call) []array {
	s := c.statistics(c.in[0], c.Outputs[1].Shape)
	y, mask := c.normalized(c.in[0], c.in[1].data, c.in[2].data, s[0].data, s[2].data, c.optional(3), c.shapeOf(4))
	return append([]array{y, s[0], s[1], s[2]}, mask...)
}

func fusedNormalize(c *call) []array {
	y, mask := c.normalized(c.in[0], c.in[1].data, c.in[2].data, c.in[3].data, c.in[4].data, c.optional(5), c.shapeOf(1))
	return append([]array{y}, mask...)
}

// maskOf packs a bit per element, set if it is above 0, into the given number of bytes.
func maskOf(x array, bytes int) array {
	mask, each := zeros(bytes), len(x.data)/bytes
	for i, v := range x.data {
		if v > 0 {
			mask.data[i/each] += float64(int(1) << (i % each))
		}
	}
	return mask
}

func fusedBatchNormGrad(c *call) []array {
	dy, x, gamma, beta, mean, istd := c.in[0], c.in[2], c.in[3].data, c.in[4].data, c.in[5].data, c.in[6].data
	ch := len(gamma)
	count, size := c.groups(len(x.data))
	n := float64(size / ch)
	dz, dx, dgamma, dbeta := zeros(x.shape...), zeros(x.shape...), zeros(ch), zeros(ch)
	ofGroup := func(i int) int { return i/size*ch + i%ch }
	normal := func(i int) float64 { return (x.data[i] - mean[ofGroup(i)]) * istd[ofGroup(i)] }
	passed := func(i int) bool { return normal(i)*gamma[i%ch]+beta[i%ch] > 0 }
	if c.present(7) {
		mask := c.in[7].data
		each := len(x.data) / len(mask)
		passed = func(i int) bool { return int(mask[i/each])>>(i%each)&1 == 1 }
	}
	groupGamma, groupBeta := make([]float64, count*ch), make([]float64, count*ch)
	for i, d := range dy.data {
		if c.present(1) {
			d += c.in[1].data[i]
		}
		if c.int("relu", 0) == 1 && !passed(i) {
			d = 0
		}
		dz.data[i] = d
		groupBeta[ofGroup(i)] += d
		groupGamma[ofGroup(i)] += d * normal(i)
	}
	for k := range groupBeta {
		dbeta.data[k%ch] += groupBeta[k]
		dgamma.data[k%ch] += groupGamma[k]
	}
	for i, d := range dz.data {
		k := ofGroup(i)
		dx.data[i] = gamma[i%ch] * istd[k] * (d - groupBeta[k]/n - normal(i)*groupGamma[k]/n)
	}
	return []array{dx, dgamma, dbeta, dz}[:3+c.int("residual", 0)]
}

// maxPoolPlaces returns y and the place in its window that each element came from.
func maxPoolPlaces(c *call) []array {
	kernel, x := c.Attr("kernel").([]int), first(c.in[0])
	win := c.cudnnWindow(kernel[0], kernel[1])
	of := pooled(x, win)
	y, index, h, w := of[0], of[1], x.shape[2], x.shape[3]
	walk(y.shape, func(i int, at []int) {
		p := int(index.data[i]) % (h * w)
		index.data[i] = float64((p/w-at[2]*win.Stride+win.Pads[0])*win.KW + p%w - at[3]*win.Stride + win.Pads[1])
	})
	return []array{last(y), last(index)}
}

func maxPoolPlacesGrad(c *call) array {
	dy, place := first(c.in[0]), first(c.in[1])
	kernel, size := c.Attr("kernel").([]int), c.Attr("size").([]int)
	win := c.cudnnWindow(kernel[0], kernel[1])
	dx := zeros(dy.shape[0], dy.shape[1], size[0], size[1])
	walk(dy.shape, func(i int, at []int) {
		k := int(place.data[i])
		h, w := at[2]*win.Stride-win.Pads[0]+k/win.KW, at[3]*win.Stride-win.Pads[1]+k%win.KW
		dx.data[((at[0]*dx.shape[1]+at[1])*size[0]+h)*size[1]+w] += dy.data[i]
	})
	return last(dx)
}

func pixelValues(c *call) array {
	x, scale, shift, channels := c.in[0], c.in[1].data, c.in[2].data, c.int("channels", 3)
	y := zeros(x.shape[0], x.shape[1], x.shape[2], channels)
	for i, v := range x.data {
		y.data[i/3*channels+i%3] = v*scale[i%3] + shift[i%3]
	}
	return y
}
