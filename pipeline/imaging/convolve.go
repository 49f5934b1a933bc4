package imaging

import "encoding/binary"

// Both passes keep two 8-bit samples in one 64-bit word, 32 bits apart, and so
// multiply two samples by a weight at once. A sum of samples times weights begins
// with bias, which rounds it and keeps it from going below 0, so that neither
// half borrows from the other: the fixed-point results are -256..767.
//
// Between the passes three words hold two neighbouring pixels: red and green of
// the first, blue of both, red and green of the second.

const (
	lanes = 1<<32 | 1
	bias  = (1<<(precision-1) + 256<<precision) * lanes
)

// settle cuts the two sums of a word to 0..255 each.
func settle(sum uint64) uint64 {
	v := sum >> precision & (0x3ff * lanes)
	if v&(0x300*lanes) != 0x100*lanes {
		return cut(v)
	}
	return v & (0xff * lanes)
}

// cut is settle for the few words of which a half is out of range.
func cut(v uint64) uint64 {
	return uint64(clip(int32(v&0x3ff)-256)) | uint64(clip(int32(v>>32)-256))<<32
}

func clip(v int32) uint8 {
	if uint32(v) < 256 {
		return uint8(v)
	}
	return uint8(^v >> 31) // 0 for a negative v, 255 for a large one
}

// convolve filters src with s.kx and s.ky into dst, which holds as many pixels as
// the two kernels have outputs. The rows are filtered first and rounded to 8
// bits, then the columns, as Pillow does; only as many rows as the vertical
// kernel has taps wait at a time, so that they stay in the fastest cache. With
// upend the last row comes first. dst may be the memory of src if ky is a blur's.
func (s *Scratch) convolve(dst []uint8, src area, upend bool) {
	if s.kx.same && s.ky.same {
		s.copyRows(dst, src, upend)
		return
	}
	w, h := s.kx.count, s.ky.count
	s.rows.reset(3*((w+1)/2), (s.ky.most+6)&^3, s.ky.lo[0]) // rows come by four
	next := s.ky.lo[0]
	for y := range h {
		for ; next < s.ky.lo[y]+s.ky.n[y]; next += 4 {
			s.across(s.rows.from(next)[:4*s.rows.words], src, next)
		}
		at := y
		if upend {
			at = h - 1 - y
		}
		s.down(dst[3*w*at:3*w*(at+1)], y)
	}
}

// ring holds the last few rows of many.
type ring struct {
	words, slots int // words a row, rows kept
	first        int // the row that slot 0 had at first
	pix          []uint64
}

func (r *ring) reset(words, slots, first int) {
	r.words, r.slots, r.first = words, slots, first
	r.pix = grow(r.pix, slots*words)
}

// from is where row y begins, row those of its words.
func (r *ring) from(y int) []uint64 { return r.pix[(y-r.first)%r.slots*r.words:] }
func (r *ring) row(y int) []uint64  { return r.from(y)[:r.words] }

// across runs the horizontal kernel over four rows from y on at once.
func (s *Scratch) across(out []uint64, src area, y int) {
	k, words := &s.kx, len(out)/4
	if k.same {
		for i := range 4 {
			spreadRow(out[i*words:(i+1)*words], src.row(min(y+i, src.h-1))[3*k.lo[0]:][:3*k.count])
		}
		return
	}
	s.quad = grow(s.quad, 6*(src.w+k.taps)) // weights beyond n are 0 but read something
	spread4(s.quad, src.row(y), src.row(min(y+1, src.h-1)), src.row(min(y+2, src.h-1)), src.row(min(y+3, src.h-1)))
	k.dots(out, s.quad)
}

// spread4 puts four rows side by side for dot: red and green of each, blue of the
// first two, blue of the others.
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

// dots computes all outputs of the rows in in. An even output and the odd one
// after it share the words of their blue samples, which the second completes.
func (k *kernel) dots(out, in []uint64) {
	words, taps := len(out)/4, (k.most+1)&^1
	rowA, rowB, rowC, rowD := out[:words], out[words:][:words], out[2*words:][:words], out[3*words:][:words]
	var lastE, lastF uint64
	for x, lo := range k.lo[:words/3*2] {
		q, w := in[6*lo:], k.w[x*k.taps:][:taps]
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

// dot4 adds four samples times their weights. It is a function of its own, without
// a loop, so that all sums stay in registers.
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

// spreadRow puts the pixels of a row where dots would.
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

// copyRows is convolve when nothing is to be computed.
func (s *Scratch) copyRows(dst []uint8, src area, upend bool) {
	w, h := s.kx.count, s.ky.count
	for y := range h {
		at := y
		if upend {
			at = h - 1 - y
		}
		copy(dst[3*w*at:3*w*(at+1)], src.row(s.ky.lo[y])[3*s.kx.lo[0]:])
	}
}

// down computes output row y of the vertical pass into dst.
func (s *Scratch) down(dst []uint8, y int) {
	k := &s.ky
	lo, n, w := k.lo[y], k.n[y], k.w[y*k.taps:(y+1)*k.taps]
	row := s.rows.row
	s.sum = grow(s.sum, s.rows.words)
	for i := range s.sum {
		s.sum[i] = bias
	}
	t := 0
	for ; t+8 <= n; t += 4 {
		add4(s.sum, row(lo+t), row(lo+t+1), row(lo+t+2), row(lo+t+3), w[t:t+4])
	}
	if t+6 <= n {
		add2(s.sum, row(lo+t), row(lo+t+1), w[t:t+2])
		t += 2
	}
	if t+5 <= n {
		add1(s.sum, row(lo+t), uint64(w[t]))
		t++
	}
	var last [4]int32
	copy(last[:], w[t:n])
	at := func(i int) []uint64 { return row(lo + min(t+i, n-1)) }
	s.line = grow(s.line, 2*s.rows.words)
	finish(s.line, s.sum, at(0), at(1), at(2), at(3), &last)
	copy(dst, s.line)
}

func add1(sum, a []uint64, w uint64) {
	a = a[:len(sum)]
	for i := range sum {
		sum[i] += a[i] * w
	}
}

func add2(sum, a, b []uint64, w []int32) {
	n := len(sum)
	a, b = a[:n], b[:n]
	wa, wb := uint64(w[0]), uint64(w[1])
	for i := range sum {
		sum[i] += a[i]*wa + b[i]*wb
	}
}

func add4(sum, a, b, c, d []uint64, w []int32) {
	n := len(sum)
	a, b, c, d = a[:n], b[:n], c[:n], d[:n]
	wa, wb, wc, wd := uint64(w[0]), uint64(w[1]), uint64(w[2]), uint64(w[3])
	for i := range sum {
		sum[i] += a[i]*wa + b[i]*wb + c[i]*wc + d[i]*wd
	}
}

// finish adds the last four rows and writes the pixels.
func finish(dst []uint8, sum, a, b, c, d []uint64, w *[4]int32) {
	n := len(sum)
	a, b, c, d = a[:n], b[:n], c[:n], d[:n]
	wa, wb, wc, wd := uint64(w[0]), uint64(w[1]), uint64(w[2]), uint64(w[3])
	for i := 2; i < len(sum); i += 3 {
		p := settle(sum[i-2] + a[i-2]*wa + b[i-2]*wb + c[i-2]*wc + d[i-2]*wd)
		q := settle(sum[i-1] + a[i-1]*wa + b[i-1]*wb + c[i-1]*wc + d[i-1]*wd)
		r := settle(sum[i] + a[i]*wa + b[i]*wb + c[i]*wc + d[i]*wd)
		o := dst[2*i-4 : 2*i+2]
		binary.LittleEndian.PutUint32(o, uint32(p|p>>24|q<<16|r<<24))
		binary.LittleEndian.PutUint16(o[4:], uint16(r>>32|q>>24))
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
	s.convolve(dst.Pix, src.area(), false)
}
