package imaging

import (
	"bytes"
	"image"

	"golang.org/x/image/vp8"
	"golang.org/x/image/vp8l"
)

// webp decodes the picture or the first frame, which may cover a part of the canvas
// only; the rest is black, as with Pillow.
func (d *Decoder) webp(m *RGB, data []byte, h *header) error {
	w := &h.webp
	frame := m
	if w.w != m.W || w.h != m.H {
		clear(m.Pix)
		frame = &d.frame
		frame.resize(w.w, w.h)
	}
	if err := d.webpPicture(frame, data[w.start:w.end], w.lossless); err != nil {
		return err
	}
	if frame != m {
		for y := range w.h {
			copy(m.Pix[3*((w.y+y)*m.W+w.x):], frame.Pix[3*y*w.w:3*(y+1)*w.w])
		}
	}
	return nil
}

func (d *Decoder) webpPicture(m *RGB, data []byte, lossless bool) error {
	r := bytes.NewReader(data)
	if lossless {
		im, err := vp8l.Decode(r)
		if err != nil {
			return err
		}
		return d.fill(m, im)
	}
	v := vp8.NewDecoder()
	v.Init(r, r.Len())
	if _, err := v.DecodeFrameHeader(); err != nil {
		return err
	}
	im, err := v.DecodeFrame()
	if err != nil {
		return err
	}
	if err := m.sized(im); err != nil {
		return err
	}
	m.fillVP8(im)
	return nil
}

// fillVP8 converts as libwebp does. Its colours are not JFIF's: luma goes from 16 to
// 235, and rounding differs.
func (m *RGB) fillVP8(im *image.YCbCr) {
	line := make([]uint8, 2*m.W)
	for y := range m.H {
		// The other chroma row that counts lies above even rows and below odd ones.
		near := y / 2 * im.CStride
		far := min(max(y/2-1+y%2*2, 0), (m.H-1)/2) * im.CStride
		b, r := line[:m.W], line[m.W:]
		doubleVP8(b, im.Cb[near:], im.Cb[far:])
		doubleVP8(r, im.Cr[near:], im.Cr[far:])
		luma, dst := im.Y[y*im.YStride:], m.Pix[3*y*m.W:]
		for x := range m.W {
			l, u, v := int32(luma[x])*19077>>8, int32(b[x]), int32(r[x])
			d := dst[3*x : 3*x+3]
			d[0] = clip((l + v*26149>>8 - 14234) >> 6)
			d[1] = clip((l - u*6419>>8 - v*13320>>8 + 8708) >> 6)
			d[2] = clip((l + u*33050>>8 - 17685) >> 6)
		}
	}
}

// doubleVP8 widens a row of chroma by libwebp's filter, whose two roundings are kept.
func doubleVP8(dst, near, far []uint8) {
	last := (len(dst) - 1) / 2
	ends := func(x int) uint8 { return uint8((3*uint(near[x]) + uint(far[x]) + 2) >> 2) }
	dst[0] = ends(0)
	for x := range last {
		n0, n1, f0, f1 := uint(near[x]), uint(near[x+1]), uint(far[x]), uint(far[x+1])
		all := n0 + n1 + f0 + f1 + 8
		dst[2*x+1] = uint8(((all+2*(n1+f0))>>3 + n0) >> 1)
		dst[2*x+2] = uint8(((all+2*(n0+f1))>>3 + n1) >> 1)
	}
	if len(dst)%2 == 0 {
		dst[len(dst)-1] = ends(last)
	}
}
