package imaging

import "math"

// A blurred pixel tolerates coarse weights, so one word holds its three channels at 21 bits each: 8
// for the sample and 13 for the weights, which add up to exactly 1. Samples at equal distance on
// both sides are added before they are multiplied by their common weight.
const (
	blurBits  = 13
	threefold = 1<<42 | 1<<21 | 1
	// narrow is the largest radius at which the rounding error of such short weights stays small
	// against that of the pixels.
	narrow = 7
)

// blur convolves the w x h image pix in place with a Gaussian of the given sigma in pixels; the
// edge pixels are repeated beyond the border. It is a true Gaussian to within 1/255, truncated at
// 3.5 sigma. Pillow's GaussianBlur, which the authors' code uses, approximates the same curve by
// repeated box filters and so differs from this by a few units at edges.
func (s *Scratch) blur(pix []uint8, w, h int, sigma float64) {
	radius := int(math.Ceil(3.5 * sigma))
	if radius > narrow {
		s.gaussian(&s.kx, w, sigma)
		s.gaussian(&s.ky, h, sigma)
		s.convolve(pix, area{pix, w, h, 3 * w}, false)
		return
	}
	weights := blurWeights(radius, sigma)
	var rows [2*narrow + 1][]uint64
	s.quad = grow(s.quad, w+2*radius)
	s.sum = grow(s.sum, w)
	s.rows.reset(w, 2*radius+1, 0)
	next := 0
	for y := range h {
		for ; next < h && next <= y+radius; next++ {
			widen(s.quad, pix[3*w*next:3*w*(next+1)], radius)
			for t := range 2*radius + 1 {
				rows[t] = s.quad[t:][:w]
			}
			weigh(s.sum, rows[:2*radius+1], &weights)
			store(s.rows.row(next), s.sum)
		}
		for t := range 2*radius + 1 {
			rows[t] = s.rows.row(min(max(y+t-radius, 0), h-1))
		}
		weigh(s.sum, rows[:2*radius+1], &weights)
		narrowed(pix[3*w*y:3*w*(y+1)], s.sum)
	}
}

// blurWeights returns the weights by distance from the centre pixel, in fixed point.
func blurWeights(radius int, sigma float64) (w [narrow + 1]uint64) {
	var curve [narrow + 1]float64
	sum := 1.0
	for t := 1; t <= radius; t++ {
		d := float64(t) / sigma
		curve[t] = math.Exp(-0.5 * d * d)
		sum += float64(2 * curve[t])
	}
	w[0] = 1 << blurBits
	for t := 1; t <= radius; t++ {
		w[t] = uint64(math.Round(curve[t] / sum * (1 << blurBits)))
		w[0] -= 2 * w[t]
	}
	return w
}

// widen packs a row's pixels into words and repeats the outer ones as padding.
func widen(dst []uint64, row []uint8, radius int) {
	in := dst[radius : len(dst)-radius]
	for i := range in {
		p := (*[3]uint8)(row[3*i:])
		in[i] = uint64(p[0]) | uint64(p[1])<<21 | uint64(p[2])<<42
	}
	for i := range radius {
		dst[i], dst[len(dst)-1-i] = in[0], in[len(in)-1]
	}
}

// weigh computes the weighted sum of an odd number of rows; w[0] belongs to the middle one.
func weigh(sum []uint64, rows [][]uint64, w *[narrow + 1]uint64) {
	n, mid := len(sum), len(rows)/2
	centre, c := rows[mid][:n], w[0]
	t := 1
	if mid%2 == 1 {
		a, b, wa := rows[mid-1][:n], rows[mid+1][:n], w[1]
		for i, v := range centre {
			sum[i] = v*c + (a[i]+b[i])*wa + threefold<<(blurBits-1)
		}
		t = 2
	} else {
		for i, v := range centre {
			sum[i] = v*c + threefold<<(blurBits-1)
		}
	}
	for ; t < mid; t += 2 {
		a, b, wa := rows[mid-t][:n], rows[mid+t][:n], w[t]
		c, d, wc := rows[mid-t-1][:n], rows[mid+t+1][:n], w[t+1]
		for i := range sum {
			sum[i] += (a[i]+b[i])*wa + (c[i]+d[i])*wc
		}
	}
}

// store rounds sums to samples.
func store(dst, sum []uint64) {
	dst = dst[:len(sum)]
	for i, v := range sum {
		dst[i] = v >> blurBits & (0xff * threefold)
	}
}

// narrowed rounds sums to the bytes of a row.
func narrowed(row []uint8, sum []uint64) {
	for i, v := range sum {
		p := (*[3]uint8)(row[3*i:])
		p[0], p[1], p[2] = uint8(v>>blurBits), uint8(v>>(21+blurBits)), uint8(v>>(42+blurBits))
	}
}

// gaussian builds the kernel of a blur that is too wide for packed words.
func (s *Scratch) gaussian(k *kernel, size int, sigma float64) {
	radius := int(math.Ceil(3.5 * sigma))
	taps := 2*radius + 1
	s.weights = grow(s.weights, 2*taps)
	curve, folded := s.weights[:taps], s.weights[taps:]
	sum := 0.0
	for t := range curve {
		d := float64(t-radius) / sigma
		curve[t] = math.Exp(-0.5 * d * d)
		sum += curve[t]
	}
	k.reset(size, taps)
	for i := range size {
		lo, hi := max(i-radius, 0), min(i+radius, size-1)
		k.lo[i], k.n[i] = lo, hi-lo+1
		if k.n[i] == taps && i > radius { // same weights as the previous pixel
			copy(k.w[i*k.taps:(i+1)*k.taps], k.w[(i-1)*k.taps:])
			continue
		}
		clear(folded)
		for t, v := range curve {
			folded[min(max(i-radius+t, lo), hi)-lo] += v
		}
		k.fix(i, folded[:k.n[i]], sum)
	}
}
