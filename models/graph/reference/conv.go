package reference

import (
	"fmt"
	"math"

	"vicreg/models/graph"
)

func conv(c *call) array {
	bias := array{}
	if c.present(2) {
		bias = c.in[2]
	}
	return convolve(c.in[0], c.in[1], bias, c.Window(), c.int("group", 1))
}

// convolve sums over channels and taps for each output pixel.
func convolve(x, w, bias array, win graph.Window, group int) array {
	n, channels, h, wd := x.shape[0], x.shape[1], x.shape[2], x.shape[3]
	m, each := w.shape[0], w.shape[1]
	if channels != each*group || m%group != 0 {
		panic(fmt.Sprintf("input %v, weight %v, %d groups", x.shape, w.shape, group))
	}
	oh, ow := places(h, wd, win)
	out := zeros(n, m, oh, ow)
	walk(out.shape, func(i int, at []int) {
		from := at[1] / (m / group) * each
		for c := range each {
			plane := x.data[(at[0]*channels+from+c)*h*wd:]
			taps := w.data[(at[1]*each+c)*win.KH*win.KW:]
			out.data[i] += underWindow(plane, taps, h, wd, at[2], at[3], win)
		}
		if bias.data != nil {
			out.data[i] += bias.data[at[1]]
		}
	})
	return out
}

// underWindow sums taps times the pixels of a plane [h, w] under the window of
// output pixel (oy, ox); pixels outside the plane are zero.
func underWindow(plane, taps []float64, h, w, oy, ox int, win graph.Window) float64 {
	sum := 0.0
	for ky := range win.KH {
		for kx := range win.KW {
			y, x := oy*win.Stride+ky*max(1, win.Dilation[0])-win.Pads[0], ox*win.Stride+kx*max(1, win.Dilation[1])-win.Pads[1]
			if y >= 0 && y < h && x >= 0 && x < w {
				sum += plane[y*w+x] * taps[ky*win.KW+kx]
			}
		}
	}
	return sum
}

// places is the number of positions of a window on h x w pixels, down and across.
func places(h, w int, win graph.Window) (int, int) {
	reach := func(k, dilation int) int { return (k-1)*max(1, dilation) + 1 }
	return size(h, reach(win.KH, win.Dilation[0]), win.Stride, win.Pads[0]+win.Pads[2]),
		size(w, reach(win.KW, win.Dilation[1]), win.Stride, win.Pads[1]+win.Pads[3])
}

// size is the number of steps of a window of k along padded pixels.
func size(pixels, k, stride, pads int) int {
	n := 0
	for at := 0; at+k <= pixels+pads; at += stride {
		n++
	}
	return n
}

// convTranspose spreads each pixel of x over the output pixels under its window.
func convTranspose(c *call) array {
	x, w, win, extra := c.in[0], c.in[1], c.Window(), c.Attr("output_padding").([]int)
	n, m, h, wd := x.shape[0], x.shape[1], x.shape[2], x.shape[3]
	channels := w.shape[1]
	out := zeros(n, channels,
		(h-1)*win.Stride+win.KH-win.Pads[0]-win.Pads[2]+extra[0],
		(wd-1)*win.Stride+win.KW-win.Pads[1]-win.Pads[3]+extra[1])
	walk(x.shape, func(i int, at []int) {
		walk([]int{channels, win.KH, win.KW}, func(_ int, k []int) {
			oy, ox := at[2]*win.Stride+k[1]-win.Pads[0], at[3]*win.Stride+k[2]-win.Pads[1]
			if oy < 0 || oy >= out.shape[2] || ox < 0 || ox >= out.shape[3] {
				return
			}
			tap := w.data[offset([]int{m, channels, win.KH, win.KW}, []int{at[1], k[0], k[1], k[2]})]
			out.data[offset(out.shape, []int{at[0], k[0], oy, ox})] += x.data[i] * tap
		})
	})
	return out
}

// maxPool returns the maxima and their flat positions in x, the first among equals.
func maxPool(c *call) []array { return pooled(c.in[0], c.Window()) }

func pooled(x array, win graph.Window) []array {
	h, w := x.shape[2], x.shape[3]
	oh, ow := places(h, w, win)
	y := zeros(x.shape[0], x.shape[1], oh, ow)
	index := zeros(y.shape...)
	walk(y.shape, func(i int, at []int) {
		y.data[i] = math.Inf(-1)
		base := (at[0]*x.shape[1] + at[1]) * h * w
		for ky := range win.KH {
			for kx := range win.KW {
				iy, ix := at[2]*win.Stride+ky-win.Pads[0], at[3]*win.Stride+kx-win.Pads[1]
				if iy < 0 || iy >= h || ix < 0 || ix >= w {
					continue
				}
				if p := base + iy*w + ix; x.data[p] > y.data[i] {
					y.data[i], index.data[i] = x.data[p], float64(p)
				}
			}
		}
	})
	return []array{y, index}
}

// batchNormalization is the inference form, per channel.
func batchNormalization(c *call) array {
	x, scale, bias, mean, variance := c.in[0], c.in[1], c.in[2], c.in[3], c.in[4]
	eps, out := c.float("epsilon", 1e-5), zeros(x.shape...)
	walk(x.shape, func(i int, at []int) {
		ch := at[1]
		out.data[i] = (x.data[i]-mean.data[ch])/math.Sqrt(variance.data[ch]+eps)*scale.data[ch] + bias.data[ch]
	})
	return out
}
