package imaging

// Both passes keep two 8-bit samples in one 64-bit word, 32 bits apart, and so
// multiply two samples by a weight at once. A sum of samples times weights fits
// in 31 bits and a sign; when the low half is negative it has borrowed from the
// high half, which high gives back.

const half = 1<<(precision-1) | 1<<(precision-1+32)

func low(s int64) uint8 { return clip(int32(s) >> precision) }

func high(s int64) uint8 { return clip(int32((s-int64(int32(s)))>>32) >> precision) }

func clip(v int32) uint8 {
	if uint32(v) < 256 {
		return uint8(v)
	}
	return uint8(^v >> 31) // 0 for a negative v, 255 for a large one
}

// convolve filters src with s.kx and s.ky into dst, which holds as many pixels as
// the two kernels have outputs. The rows are filtered first and rounded to 8
// bits, then the columns, as Pillow does. dst may be the memory of src.
func (s *Scratch) convolve(dst []uint8, src area) {
	w, h := len(s.kx.lo), len(s.ky.lo)
	y0, y1 := s.ky.span()
	words := (3*w + 1) / 2
	s.rows = grow(s.rows, (y1-y0)*words)
	s.line = grow(s.line, 4*words)
	a, b := s.line[:2*words], s.line[2*words:]
	for y := y0; y < y1; y += 2 {
		last := min(y+1, y1-1)
		s.across(a, b, src.row(y), src.row(last))
		pack(s.rows[(y-y0)*words:(y-y0+1)*words], a)
		pack(s.rows[(last-y0)*words:(last-y0+1)*words], b)
	}
	for y := range h {
		s.down(dst[3*w*y:3*w*(y+1)], y, y0, words)
	}
}

// across runs the horizontal kernel over two rows at once.
func (s *Scratch) across(outA, outB, a, b []uint8) {
	k := &s.kx
	if k.same {
		copy(outA, a[3*k.lo[0]:3*(k.lo[0]+len(k.lo))])
		copy(outB, b[3*k.lo[0]:3*(k.lo[0]+len(k.lo))])
		return
	}
	s.pair = grow(s.pair, len(a))
	p := s.pair[:len(a)]
	b = b[:len(a)]
	for i, v := range a {
		p[i] = int64(v) | int64(b[i])<<32
	}
	for x, lo := range k.lo {
		n := k.n[x]
		var r, g, bl int64 = half, half, half
		q := p[3*lo : 3*(lo+n)]
		for _, c := range k.w[x*k.taps : x*k.taps+n] {
			if len(q) < 3 { // never; lets the compiler drop three checks
				break
			}
			r += q[0] * c
			g += q[1] * c
			bl += q[2] * c
			q = q[3:]
		}
		oa, ob := outA[3*x:3*x+3], outB[3*x:3*x+3]
		oa[0], oa[1], oa[2] = low(r), low(g), low(bl)
		ob[0], ob[1], ob[2] = high(r), high(g), high(bl)
	}
}

// pack joins the first half of a row with its second half, sample by sample.
func pack(dst []int64, row []uint8) {
	n := len(dst)
	a, b := row[:n], row[n:2*n]
	for i := range dst {
		dst[i] = int64(a[i]) | int64(b[i])<<32
	}
}

// down computes output row y from the packed rows, the first of which is source
// row y0.
func (s *Scratch) down(dst []uint8, y, y0, words int) {
	k := &s.ky
	lo, n := k.lo[y]-y0, k.n[y]
	w := k.w[y*k.taps : y*k.taps+n]
	row := func(t int) []int64 { return s.rows[(lo+t)*words : (lo+t+1)*words] }
	s.sum = grow(s.sum, words)
	sum := s.sum
	for i := range sum {
		sum[i] = half
	}
	t := 0
	for ; t+4 <= n; t += 4 {
		add4(sum, row(t), row(t+1), row(t+2), row(t+3), w[t:t+4])
	}
	for ; t < n; t++ {
		c := w[t]
		for i, v := range row(t)[:len(sum)] {
			sum[i] += v * c
		}
	}
	for i, v := range sum {
		dst[i] = low(v)
	}
	for i, v := range sum[:len(dst)-words] {
		dst[words+i] = high(v)
	}
}

func add4(sum, a, b, c, d, w []int64) {
	n := len(sum)
	a, b, c, d = a[:n], b[:n], c[:n], d[:n]
	wa, wb, wc, wd := w[0], w[1], w[2], w[3]
	for i := range sum {
		sum[i] += a[i]*wa + b[i]*wb + c[i]*wc + d[i]*wd
	}
}

// Resize fills dst, whose W and H say the size wanted, from the box of src. The
// result equals Pillow's Image.resize(size, filter, box) bit for bit. dst.Pix is
// replaced when it is too short. It panics when the box leaves the picture or is
// empty; dst must not share memory with src.
func Resize(dst, src *RGB, box Box, f Filter, s *Scratch) {
	if !(box.X0 >= 0 && box.Y0 >= 0 && box.X1 <= float64(src.W) && box.Y1 <= float64(src.H) &&
		box.X0 < box.X1 && box.Y0 < box.Y1) || dst.W < 1 || dst.H < 1 {
		panic("imaging: resize from a box outside of the picture or to nothing")
	}
	dst.Pix = grow(dst.Pix, 3*dst.W*dst.H)
	s.resample(&s.kx, f, src.W, box.X0, box.X1, dst.W, 0, dst.W)
	s.resample(&s.ky, f, src.H, box.Y0, box.Y1, dst.H, 0, dst.H)
	s.convolve(dst.Pix, src.area())
}
