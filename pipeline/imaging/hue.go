package imaging

// The hue is shifted in Pillow's 8-bit HSV, in which full circle, full saturation and full value
// are 255. Pillow uses floating point; here everything is integer arithmetic and tables computed
// with Pillow's formulas, and the few pixels where its rounding matters are computed exactly as
// Pillow does.

// hsv holds the tables that do not depend on the shift. Within a third of the circle the hue
// depends on a quotient of bytes in 0..1, and changes only where 85 times that quotient crosses an
// integer: 171 cases, of which the even ones are the integers themselves.
type hsv struct {
	share      [256][256]uint8 // case by denominator and numerator
	hue        [6][256]uint8   // hue by order of the channels and case
	saturation [256][256]uint8 // by highest channel and span
}

const steps = 85

func (t *hsv) fill() {
	for d := 1; d < 256; d++ {
		for n := range d + 1 {
			t.share[d][n] = uint8(n*steps/d + (n*steps+d-1)/d)
			t.saturation[d][n] = uint8(float64(float32(n)/float32(d)) * 255)
		}
	}
	for i := range 2*steps + 1 {
		d := float32(i) / (2 * steps) // for an integer step rounded once, like Pillow's
		for order := range t.hue {
			t.hue[order][i] = hueOf(order, d)
		}
	}
}

// Channel orders of a pixel, from the highest.
const (
	redGreenBlue = iota
	redBlueGreen
	greenRedBlue
	greenBlueRed
	blueRedGreen
	blueGreenRed
)

// hueOf is Pillow's formula. Of its three quotients, each a channel's distance from the highest
// divided by the span, one is 0 and one is 1; d is the third.
func hueOf(order int, d float32) uint8 {
	var angle float32
	switch order {
	case redGreenBlue:
		angle = 1 - d
	case redBlueGreen:
		angle = d - 1
	case greenRedBlue:
		angle = float32(2 + float64(d) - 1)
	case greenBlueRed:
		angle = float32(3 - float64(d))
	case blueRedGreen:
		angle = float32(5 - float64(d))
	case blueGreenRed:
		angle = float32(4 + float64(d) - 1)
	}
	turn := float64(angle)/6 + 1
	if turn >= 1 {
		turn--
	}
	return uint8(float64(float32(turn)) * 255)
}

// place is the position of a hue on the circle: the distance into its sixth, in 1/255, or to the
// end of it in even sixths; and the channels that get the highest, the middle and the lowest value.
type place struct {
	share          uint16
	hue            uint8
	high, mid, low uint8
}

func placeOf(hue uint8) place {
	sector, into := int(hue)*6/255%6, int(hue)*6%255
	p := [6]place{
		{high: 0, mid: 1, low: 2}, {high: 1, mid: 0, low: 2}, {high: 1, mid: 2, low: 0},
		{high: 2, mid: 1, low: 0}, {high: 2, mid: 0, low: 1}, {high: 0, mid: 2, low: 1},
	}[sector]
	p.hue, p.share = hue, uint16(into)
	if sector%2 == 0 {
		p.share = uint16(255 - into)
	}
	return p
}

// hue shifts the hue of every pixel by shift, a fraction of the full circle, in steps of 1/255,
// after mapping the pixel through t.
//
// The lowest channel becomes value * (1 - saturation) rounded, the middle one value * (1 -
// saturation*share), all in 1/255. Pillow's rounding errors are below 2/255^2 and matter only where
// the latter is that close to a half.
func (s *Scratch) hue(pix []uint8, t *table, shift float64) {
	if s.hsv == nil {
		s.hsv = new(hsv)
		s.hsv.fill()
	}
	const (
		one  = 255 * 255
		bits = 48
		near = 1 << (bits - 14) // 4/one
	)
	tables := s.hsv
	var at [256]place
	for h := range at {
		at[h] = placeOf(uint8(h) + uint8(int(shift*255)))
	}
	for i := 0; i < len(pix)-2; i += 3 {
		p := (*[3]uint8)(pix[i:])
		r, g, b := uint32(t[p[0]]), uint32(t[p[1]]), uint32(t[p[2]])
		order, high, mid, low := sorted(r, g, b)
		span := high - low
		h := &at[tables.hue[order][tables.share[span&255][(high-mid)&255]]]
		sat := uint32(tables.saturation[high&255][span&255])
		d := high*(255-sat) + 128
		v := uint64(high*(one-sat*uint32(h.share))+one/2) * (1<<bits/one + 1)
		middle := uint8(v >> bits)
		if v&(1<<bits-1)-near >= 1<<bits-2*near {
			middle = pillowMiddle(high, sat, h.hue)
		}
		p[h.high], p[h.mid], p[h.low] = uint8(high), middle, uint8((d+d>>8)>>8)
	}
}

// sorted orders the channels; ties may be broken either way, except that red must come first if it
// is among the highest, and green before blue.
func sorted(r, g, b uint32) (order int, high, mid, low uint32) {
	if r >= g {
		if g >= b {
			return redGreenBlue, r, g, b
		}
		if r >= b {
			return redBlueGreen, r, b, g
		}
		return blueRedGreen, b, r, g
	}
	if b > g {
		return blueGreenRed, b, g, r
	}
	if r >= b {
		return greenRedBlue, g, r, b
	}
	return greenBlueRed, g, b, r
}

// pillowMiddle computes the middle channel in Pillow's arithmetic.
func pillowMiddle(value, saturation uint32, hue uint8) uint8 {
	turned := float64(hue) * 6 / 255
	sector := int(turned)
	s, into := float32(float64(saturation)/255), float32(turned-float64(sector))
	loss := float64(s * into)
	if sector%2 == 0 {
		loss = float64(float64(s) * (1 - float64(into)))
	}
	return uint8(float64(float64(value)*(1-loss)) + 0.5)
}
