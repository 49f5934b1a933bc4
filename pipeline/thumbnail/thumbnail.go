// Package thumbnail makes the small pictures shown beside search results.
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

// Upper limits on a thumbnail.
const (
	Side  = 192      // of the longer side, in pixels
	Bytes = 64 << 10 // of the JPEG file
)

// quality is the JPEG quality first tried; it falls in steps until the file fits.
const (
	quality = 80
	step    = 20
)

// Make returns a JPEG of the picture with the same aspect ratio, never larger than the original. It
// may be called concurrently, and briefly starts goroutines itself.
func Make(p *imaging.RGB) ([]byte, error) {
	if p.W < 1 || p.H < 1 || len(p.Pix) != 3*p.W*p.H {
		return nil, fmt.Errorf("make thumbnail: %d bytes are no picture of %dx%d pixels", len(p.Pix), p.W, p.H)
	}
	small := pictures.Fit(shrunk(p), Side, Side, pictures.Box)
	opaque := &image.RGBA{Pix: small.Pix, Stride: small.Stride, Rect: small.Rect} // equivalent without alpha, and the encoder's fast path
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

// shrunk copies the picture, averaging squares of pixels of a large one, down to no less than twice
// a thumbnail's side: a full copy of a large picture, at four bytes per pixel, would take more memory
// than everything else done with it. It must be a copy, because the resizing library's own goroutines
// cannot panic on this image type.
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

// mean is the mean colour of the w x h pixels at (x, y).
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
