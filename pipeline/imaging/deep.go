package imaging

import (
	"encoding/binary"
	"image"
)

// deep is an image with 16 bits per channel, values in big-endian order.
type deep struct {
	pix          []uint8
	w, h, stride int  // stride of a row, in bytes
	step         int  // distance between pixels, in bytes
	colours      int  // 1 or 3; with a step of 8 alpha follows
	multiplied   bool // the colours are premultiplied by alpha
}

func deepOf(im image.Image) (p deep, ok bool) {
	switch im := im.(type) {
	case *image.Gray16:
		p = deep{pix: im.Pix, stride: im.Stride, step: 2, colours: 1}
	case *image.RGBA64:
		p = deep{pix: im.Pix, stride: im.Stride, step: 8, colours: 3, multiplied: true}
	case *image.NRGBA64:
		p = deep{pix: im.Pix, stride: im.Stride, step: 8, colours: 3}
	default:
		return p, false
	}
	p.w, p.h = im.Bounds().Dx(), im.Bounds().Dy()
	return p, true
}

func (p *deep) row(y int) []uint8 { return p.pix[y*p.stride:][:p.w*p.step] }

// divide undoes the premultiplication by alpha.
func (p *deep) divide() {
	for y := range p.h {
		row := p.row(y)
		for i := 0; i < len(row); i += p.step {
			a := uint32(binary.BigEndian.Uint16(row[i+6:]))
			for c := i; a != 1<<16-1 && c < i+6; c += 2 {
				v := uint32(binary.BigEndian.Uint16(row[c:]))
				binary.BigEndian.PutUint16(row[c:], uint16(min(v*(1<<16-1)/max(a, 1), 1<<16-1)))
			}
		}
	}
}

// offsets returns the byte offsets of green and blue in a pixel, for spread and apply.
func (p *deep) offsets() (g, b int) {
	if p.colours == 1 {
		return 0, 0
	}
	return 2, 4
}

// tones is a decoder's working memory for images with 16 bits per channel.
type tones struct {
	counts    [1 << 16]uint32
	table     [1 << 16]uint8
	low, high uint16 // that table was built for
}

// count builds the histogram of the colour values and returns their number. With covered, a
// background is set, and only values that it leaves visible are counted.
func (t *tones) count(p *deep, covered bool) (all int) {
	clear(t.counts[:])
	for y := range p.h {
		row := p.row(y)
		for i := 0; i < len(row); i += p.step {
			if covered && p.step == 8 && row[i+6] == 0 { // lay uses the high byte, too
				continue
			}
			all += p.colours
			for c := i; c < i+2*p.colours; c += 2 {
				t.counts[uint16(row[c])<<8|uint16(row[c+1])]++
			}
		}
	}
	if all == 0 && covered { // nothing is visible, so counting the hidden values does no harm
		return t.count(p, false)
	}
	return all
}

// rank returns the smallest value that at least that many thousandths of the counted values, and at
// least one of them, do not exceed; all is the number counted.
func (t *tones) rank(thousandths, all int) uint16 {
	want := max(1, (thousandths*all+999)/1000)
	for v, n := range t.counts {
		if want -= int(n); want <= 0 {
			return uint16(v)
		}
	}
	return 1<<16 - 1
}

// stretch returns the levels that Levels.Auto derives from the counted values.
func (t *tones) stretch(all int) (low, high uint16) {
	if low, high = t.rank(5, all), t.rank(995, all); low == high {
		low, high = t.rank(0, all), t.rank(1000, all)
	}
	return low, high
}

// set builds the table for the levels, unless it is up to date.
func (t *tones) set(low, high uint16) {
	if t.low == low && t.high == high && t.table[1<<16-1] != 0 {
		return
	}
	t.low, t.high = low, high
	span := max(1, uint32(high)-uint32(low))
	for v := range t.table {
		in := uint32(min(max(v, int(low)), int(high))) - uint32(low)
		t.table[v] = uint8((2*255*in + span) / (2 * span))
	}
}

// deep converts an image with 16 bits per channel according to the levels.
func (d *Decoder) deep(m *RGB, p *deep) {
	levels := d.Conversion.Levels
	if p.multiplied && d.Conversion != (Conversion{}) { // the zero Conversion never does, for compatibility
		p.divide()
	}
	if d.tones == nil && (levels != Levels{} || d.Facts != nil) {
		d.tones = new(tones)
	}
	all := 0
	if levels.Auto || d.Facts != nil {
		all = d.tones.count(p, d.Conversion.Background.Set)
	}
	if d.Facts != nil {
		d.Facts.Deep, d.Facts.Low, d.Facts.High = true, d.tones.rank(0, all), d.tones.rank(1000, all)
		d.Facts.Inner[0], d.Facts.Inner[1] = d.tones.stretch(all)
	}
	low, high := levels.Low, levels.High
	if levels.Auto {
		low, high = d.tones.stretch(all)
	}
	g, b := p.offsets()
	if levels != (Levels{}) {
		d.tones.set(low, high)
	}
	for y := range m.H {
		dst := m.Pix[3*m.W*y : 3*m.W*(y+1)]
		if levels == (Levels{}) {
			spread(dst, p.row(y), p.step, g, b)
		} else {
			d.tones.apply(dst, p.row(y), p.step, g, b)
		}
		if p.step == 8 {
			d.lay(dst, p.row(y)[6:], p.step)
		}
	}
}

// apply is spread with a lookup in the table.
func (t *tones) apply(dst, src []uint8, step, g, b int) {
	at := func(i int) uint8 { return t.table[uint16(src[i])<<8|uint16(src[i+1])] }
	for i := 0; i+2 < len(dst); i += 3 {
		dst[i], dst[i+1], dst[i+2] = at(0), at(g), at(b)
		src = src[min(step, len(src)):]
	}
}
