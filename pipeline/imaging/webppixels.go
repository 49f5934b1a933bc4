package imaging

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"

	"golang.org/x/image/vp8"
	"golang.org/x/image/vp8l"
	"golang.org/x/image/webp"
)

// webp decodes the image or the first frame, which may cover only part of the canvas; the rest is
// black, as with Pillow, unless a background is set.
func (d *Decoder) webp(m *RGB, data []byte, h *header) error {
	w := &h.webp
	frame := m
	if w.w != m.W || w.h != m.H {
		back := d.Conversion.Background
		for i := 0; i < len(m.Pix); i += 3 {
			m.Pix[i], m.Pix[i+1], m.Pix[i+2] = back.R, back.G, back.B
		}
		if d.Facts != nil {
			d.Facts.Transparent = true
		}
		frame = &d.frame
		frame.resize(w.w, w.h)
	}
	if err := d.webpPicture(frame, data, w); err != nil {
		return err
	}
	if frame != m {
		for y := range w.h {
			copy(m.Pix[3*((w.y+y)*m.W+w.x):], frame.Pix[3*y*w.w:3*(y+1)*w.w])
		}
	}
	return nil
}

func (d *Decoder) webpPicture(m *RGB, data []byte, w *webpHeader) error {
	if w.alpha[1] > 0 && !w.lossless && (d.Conversion.Background.Set || d.Facts != nil) {
		err := d.webpAlpha(m, data, w)
		if err == nil || d.Conversion.Background.Set {
			return err // without a background broken alpha does not matter
		}
	}
	r := bytes.NewReader(data[w.start:w.end])
	if w.lossless {
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

// webpAlpha decodes a lossy image with its alpha, which only x/image/webp supports: it is given a
// file made of just these two chunks.
func (d *Decoder) webpAlpha(m *RGB, data []byte, w *webpHeader) error {
	canvas := []byte{0x10, 0, 0, 0, uint8(w.w - 1), uint8((w.w - 1) >> 8), 0, uint8(w.h - 1), uint8((w.h - 1) >> 8), 0}
	body := []byte("WEBP")
	for _, c := range []struct {
		name string
		data []byte
	}{{"VP8X", canvas}, {"ALPH", data[w.alpha[0]:w.alpha[1]]}, {"VP8 ", data[w.start:w.end]}} {
		body = append(body, c.name...)
		body = binary.LittleEndian.AppendUint32(body, uint32(len(c.data)))
		body = append(append(body, c.data...), make([]byte, len(c.data)%2)...)
	}
	im, err := webp.Decode(bytes.NewReader(append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(body))), body...)))
	if err != nil {
		return err
	}
	both, ok := im.(*image.NYCbCrA)
	if !ok {
		return fmt.Errorf("WebP decoder gave a %T", im)
	}
	if err := m.sized(im); err != nil {
		return err
	}
	m.fillVP8(&both.YCbCr)
	for y := range m.H {
		d.lay(m.Pix[3*m.W*y:3*m.W*(y+1)], both.A[both.AOffset(0, y):], 1)
	}
	return nil
}

// fillVP8 converts to RGB as libwebp does. The conversion is not JFIF's: luma ranges from 16 to
// 235, and the rounding differs.
func (m *RGB) fillVP8(im *image.YCbCr) {
	line := make([]uint8, 2*m.W)
	for y := range m.H {
		// The second chroma row is the one above for even rows and the one below for odd rows.
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

// doubleVP8 upsamples a row of chroma with libwebp's filter, including its two roundings.
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
