package imaging

// hue turns the hue of every pixel by shift, a fraction of the full circle, in
// steps of 1/255 and through Pillow's 8-bit HSV, in which full circle, full
// saturation and full value are 255.
func hue(pix []uint8, shift float64) {
	step := uint8(int(shift * 255))
	var at [256]place
	for h := range at {
		at[h] = placeOf(uint8(h) + step)
	}
	for p := pix; len(p) >= 3; p = p[3:] {
		h, s, v := toHSV(p[0], p[1], p[2])
		p[0], p[1], p[2] = fromHSV(&at[h], s, v)
	}
}

// toHSV is Pillow's conversion to mode HSV. Pillow divides the distance of each
// channel from the highest by the span; of the two quotients it uses one is
// always 1, so that one division is enough here.
func toHSV(r, g, b uint8) (h, s, v uint8) {
	high, low := max(r, g, b), min(r, g, b)
	if high == low {
		return 0, 0, high
	}
	span := float32(high - low)
	mid := r ^ g ^ b ^ high ^ low
	d := float32(high-mid) / span
	var angle float32
	switch {
	case high == r && low == b:
		angle = 1 - d
	case high == r:
		angle = d - 1
	case high == g && low == b:
		angle = float32(2 + float64(d) - 1)
	case high == g:
		angle = float32(3 - float64(d))
	case low == r:
		angle = float32(4 + float64(d) - 1)
	default:
		angle = float32(5 - float64(d))
	}
	turn := float64(angle)/6 + 1
	if turn >= 1 {
		turn--
	}
	return uint8(float64(float32(turn)) * 255), uint8(float64(span/float32(high)) * 255), high
}

// place is where a hue lies: in which sixth of the circle, and how far into it.
type place struct {
	sector int
	into   float32
	up     float64 // 1 - into
}

func placeOf(h uint8) place {
	at := float64(h) * 6 / 255
	sector := int(at)
	into := float32(at - float64(sector))
	return place{sector: sector % 6, into: into, up: 1 - float64(into)}
}

// fromHSV is Pillow's conversion back to RGB.
func fromHSV(h *place, s, v uint8) (r, g, b uint8) {
	if s == 0 {
		return v, v, v
	}
	fs := float32(float64(s) / 255)
	value := float64(v)
	p := round(value * (1 - float64(fs)))
	q := round(value * (1 - float64(fs*h.into)))
	t := round(value * (1 - float64(float64(fs)*h.up)))
	switch h.sector {
	case 0:
		return v, t, p
	case 1:
		return q, v, p
	case 2:
		return p, v, t
	case 3:
		return p, q, v
	case 4:
		return t, p, v
	}
	return v, p, q
}

// round is C's round for what fromHSV gives it.
func round(v float64) uint8 { return uint8(v + 0.5) }
