package imaging

import "encoding/binary"

// Both passes keep two 8-bit samples in one 64-bit word, 32 bits apart, and so multiply two samples
// by a weight at once. A sum of samples times weights starts at bias, which rounds it and keeps it
// non-negative, so that neither half borrows from the other: the fixed-point results are -256..767.
//
// Between the passes three words hold two neighbouring pixels: red and green of the first, blue of
// both, red and green of the second.

const (
	lanes = 1<<32 | 1
	bias  = (1<<(precision-1) + 256<<precision) * lanes
)

// settle clamps the two sums of a word to 0..255 each.
func settle(sum uint64) uint64 {
	v := sum >> precision & (0x3ff * lanes)
	if v&(0x300*lanes) != 0x100*lanes {
		return cut(v)
	}
	return v & (0xff * lanes)
}

// cut is the slow path of settle for the few words with a half out of range.
func cut(v uint64) uint64 {
	return uint64(clip(int32(v&0x3ff)-256)) | uint64(clip(int32(v>>32)-256))<<32
}

func clip(v int32) uint8 {
	if uint32(v) < 256 {
		return uint8(v)
	}
	return uint8(^v >> 31) // 0 for a negative v, 255 for a large one
}

// convolve filters src with s.kx and s.ky into dst, which holds as many pixels as the two kernels
// have outputs. The rows are filtered first and rounded to 8 bits, then the columns, as Pillow
// does; only as many rows as the vertical kernel has taps are buffered, so that they stay in the L1
// cache. With upend the rows are written in reverse order. dst may share the memory of src if ky is
// a blur's.
func (s *Scratch) convolve(dst []uint8, src area, upend bool) {
	if s.kx.same && s.ky.same {
		s.copyRows(dst, src, upend)
		return
	}
	w, h := s.kx.count, s.ky.count
	s.kx.lo[w] = s.kx.lo[0]                                 // keeps the reads of the zero output valid
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

// ring is a ring buffer of the last few rows.
type ring struct {
	words, slots int // words per row, rows kept
	first        int // the row initially in slot 0
	pix          []uint64
}

func (r *ring) reset(words, slots, first int) {
	r.words, r.slots, r.first = words, slots, first
	r.pix = grow(r.pix, slots*words)
}

// from returns the buffer from the start of row y on, row exactly its words.
func (r *ring) from(y int) []uint64 { return r.pix[(y-r.first)%r.slots*r.words:] }
func (r *ring) row(y int) []uint64  { return r.from(y)[:r.words] }

// copyRows is convolve for identity kernels.
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

// finish adds the last four rows and stores the pixels.
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

// Resize fills dst, whose W and H specify the target size, from the box of src. The result equals
// Pillow's Image.resize(size, filter, box) bit for bit. dst.Pix is replaced if it is too short.
// Resize panics if the box is empty or exceeds the image; dst must not share memory with src.
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
