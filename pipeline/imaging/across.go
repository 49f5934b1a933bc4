package imaging

// The horizontal pass. Four rows are filtered at once, so that the start and the weights of each
// output are looked up only once for all four.

// across applies the horizontal kernel to four rows starting at y.
func (s *Scratch) across(out []uint64, src area, y int) {
	k, words := &s.kx, len(out)/4
	if k.same {
		for i := range 4 {
			spreadRow(out[i*words:(i+1)*words], src.row(min(y+i, src.h-1))[3*k.lo[0]:][:3*k.count])
		}
		return
	}
	lo, hi := k.span()
	s.quad = grow(s.quad, 6*(hi-lo+k.taps)) // slack for the padding taps: their weight is 0 but they are read
	row := func(i int) []uint8 { return src.row(min(y+i, src.h-1))[3*lo : 3*hi] }
	spread4(s.quad, row(0), row(1), row(2), row(3))
	k.dots(out, s.quad, lo)
}

// spread4 interleaves four rows for dots: red and green of each, blue of the first two, blue of the
// last two.
func spread4(dst []uint64, a, b, c, d []uint8) {
	n := len(a)
	b, c, d = b[:n], c[:n], d[:n]
	for i := 2; i < len(a) && len(dst) >= 6; i += 3 {
		dst[0] = uint64(a[i-2]) | uint64(a[i-1])<<32
		dst[1] = uint64(b[i-2]) | uint64(b[i-1])<<32
		dst[2] = uint64(c[i-2]) | uint64(c[i-1])<<32
		dst[3] = uint64(d[i-2]) | uint64(d[i-1])<<32
		dst[4] = uint64(a[i]) | uint64(b[i])<<32
		dst[5] = uint64(c[i]) | uint64(d[i])<<32
		dst = dst[6:]
	}
}

// dots computes all outputs of the rows in in, which begin at sample first. An even output and the
// odd one after it share the words of their blue samples, which the second completes.
func (k *kernel) dots(out, in []uint64, first int) {
	words, taps := len(out)/4, (k.most+1)&^1
	rowA, rowB, rowC, rowD := out[:words], out[words:][:words], out[2*words:][:words], out[3*words:][:words]
	var lastE, lastF uint64
	for x, lo := range k.lo[:words/3*2] {
		q, w := in[6*(lo-first):], k.w[x*k.taps:][:taps]
		var a, b, c, d, e, f uint64 = bias, bias, bias, bias, bias, bias
		for ; len(w) >= 4; q, w = q[24:], w[4:] {
			a, b, c, d, e, f = dot4((*[24]uint64)(q), (*[4]int32)(w), a, b, c, d, e, f)
		}
		if len(w) >= 2 {
			a, b, c, d, e, f = dot2((*[12]uint64)(q), (*[2]int32)(w), a, b, c, d, e, f)
		}
		e, f = settle(e), settle(f)
		at := 3*(x>>1) + 1
		rowA[at], rowB[at] = lastE&0xff|e<<32, lastE>>32|e&(0xff<<32)
		rowC[at], rowD[at] = lastF&0xff|f<<32, lastF>>32|f&(0xff<<32)
		lastE, lastF = e, f
		at += 2*(x&1) - 1
		rowA[at], rowB[at], rowC[at], rowD[at] = settle(a), settle(b), settle(c), settle(d)
	}
}

// dot4 accumulates four samples times their weights. It is a separate function without a loop, so
// that all sums stay in registers.
func dot4(p *[24]uint64, w *[4]int32, a, b, c, d, e, f uint64) (_, _, _, _, _, _ uint64) {
	u := uint64(w[0])
	a, b, c, d, e, f = a+p[0]*u, b+p[1]*u, c+p[2]*u, d+p[3]*u, e+p[4]*u, f+p[5]*u
	u = uint64(w[1])
	a, b, c, d, e, f = a+p[6]*u, b+p[7]*u, c+p[8]*u, d+p[9]*u, e+p[10]*u, f+p[11]*u
	u = uint64(w[2])
	a, b, c, d, e, f = a+p[12]*u, b+p[13]*u, c+p[14]*u, d+p[15]*u, e+p[16]*u, f+p[17]*u
	u = uint64(w[3])
	return a + p[18]*u, b + p[19]*u, c + p[20]*u, d + p[21]*u, e + p[22]*u, f + p[23]*u
}

func dot2(p *[12]uint64, w *[2]int32, a, b, c, d, e, f uint64) (_, _, _, _, _, _ uint64) {
	u := uint64(w[0])
	a, b, c, d, e, f = a+p[0]*u, b+p[1]*u, c+p[2]*u, d+p[3]*u, e+p[4]*u, f+p[5]*u
	u = uint64(w[1])
	return a + p[6]*u, b + p[7]*u, c + p[8]*u, d + p[9]*u, e + p[10]*u, f + p[11]*u
}

// spreadRow packs a row of pixels in the layout that dots writes.
func spreadRow(dst []uint64, row []uint8) {
	for i := 2; i < len(dst); i += 3 {
		p := row[2*i-4:]
		dst[i-2], dst[i-1] = uint64(p[0])|uint64(p[1])<<32, uint64(p[2])
		if len(p) >= 6 {
			dst[i-1] |= uint64(p[5]) << 32
			dst[i] = uint64(p[3]) | uint64(p[4])<<32
		}
	}
}
