// Package thumbnail makes the small pictures that people look at beside what was
// found.
package thumbnail

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"

	pictures "github.com/disintegration/imaging"

	"vicreg/pipeline/imaging"
)

// What a thumbnail is at the most.
const (
	Side  = 192      // pixels of its longer side
	Bytes = 64 << 10 // of its file
)

// quality of the JPEG; one that would be too large gets less, in steps.
const (
	quality = 80
	step    = 20
)

// Make returns a JPEG of the picture, of its shape and never larger than it. It may be
// called from several goroutines at once, and starts some for a moment.
func Make(p *imaging.RGB) ([]byte, error) {
	if p.W < 1 || p.H < 1 || len(p.Pix) != 3*p.W*p.H {
		return nil, fmt.Errorf("make thumbnail: %d bytes are no picture of %dx%d pixels", len(p.Pix), p.W, p.H)
	}
	small := pictures.Fit(shrunk(p), Side, Side, pictures.Box)
	opaque := &image.RGBA{Pix: small.Pix, Stride: small.Stride, Rect: small.Rect} // without alpha the same, and what the encoder is quick with
	for q := quality; q > 0; q -= step {
		var b bytes.Buffer
		if err := jpeg.Encode(&b, opaque, &jpeg.Options{Quality: q}); err != nil {
			return nil, fmt.Errorf("make thumbnail: %w", err)
		}
		if b.Len() <= Bytes {
			return b.Bytes(), nil
		}
	}
	return nil, errors.New("make thumbnail: the picture does not compress")
}

// shrunk is the picture with all its detail up to twice the size of a thumbnail, and
// with means of squares of pixels beyond: a copy of a large one, four bytes a pixel,
// would take more memory than all else that is done with it. A copy it must be: the
// library takes this kind in goroutines of its own without a way to panic.
func shrunk(p *imaging.RGB) *image.NRGBA {
	k := max(1, max(p.W, p.H)/(2*Side))
	m := image.NewNRGBA(image.Rect(0, 0, (p.W+k-1)/k, (p.H+k-1)/k))
	if k == 1 {
		copyPixels(m.Pix, p.Pix)
		return m
	}
	for y := range m.Rect.Dy() {
		for x := range m.Rect.Dx() {
			to := m.Pix[y*m.Stride+4*x:][:4]
			to[0], to[1], to[2] = mean(p, x*k, y*k, min(k, p.W-x*k), min(k, p.H-y*k))
			to[3] = 255
		}
	}
	return m
}

func copyPixels(to, from []uint8) {
	for len(from) >= 3 && len(to) >= 4 {
		to[0], to[1], to[2], to[3] = from[0], from[1], from[2], 255
		to, from = to[4:], from[3:]
	}
}

// mean is the colour of w x h pixels at x, y.
func mean(p *imaging.RGB, x, y, w, h int) (r, g, b uint8) {
	var reds, greens, blues int
	for row := y; row < y+h; row++ {
		line := p.Pix[3*(row*p.W+x) : 3*(row*p.W+x+w)]
		for len(line) >= 3 {
			reds, greens, blues = reds+int(line[0]), greens+int(line[1]), blues+int(line[2])
			line = line[3:]
		}
	}
	n := w * h
	return uint8((reds + n/2) / n), uint8((greens + n/2) / n), uint8((blues + n/2) / n)
}
