// Package imaging turns encoded images into the pixels a network sees: decode, resample, crop,
// augment. Training, evaluation, embedding and serving all use it, so that a model gets the same
// pixels everywhere, and the same as a torchvision model would: resampling is Pillow's bit for bit,
// and the colour operations are torchvision's on 8-bit images.
//
// Nothing here starts a goroutine. Every function is safe for concurrent use as long as each
// goroutine has its own Scratch and destination.
package imaging

import "fmt"

// RGB is an 8-bit image, 3 bytes per pixel, row-major without padding.
type RGB struct {
	Pix  []uint8 // len 3*W*H
	W, H int
}

// NewRGB returns a black image.
func NewRGB(w, h int) *RGB { return &RGB{Pix: make([]uint8, 3*w*h), W: w, H: h} }

// Box is a rectangle in source pixels; its corners may lie between pixels.
type Box struct{ X0, Y0, X1, Y1 float64 }

// Whole returns the box that covers all of m.
func (m *RGB) Whole() Box { return Box{0, 0, float64(m.W), float64(m.H)} }

// area is a window into an image; nothing outside it is accessible.
type area struct {
	pix    []uint8
	w, h   int
	stride int // bytes between the starts of rows
}

func (m *RGB) area() area { return area{m.Pix, m.W, m.H, 3 * m.W} }

// cut returns the w x h window at x, y, which must lie inside m.
func (m *RGB) cut(x, y, w, h int) area {
	if x < 0 || y < 0 || w < 1 || h < 1 || x+w > m.W || y+h > m.H {
		panic(fmt.Sprintf("imaging: window %dx%d at %d,%d of a %dx%d picture", w, h, x, y, m.W, m.H))
	}
	return area{m.Pix[3*(y*m.W+x):], w, h, 3 * m.W}
}

func (a area) row(y int) []uint8 { return a.pix[y*a.stride : y*a.stride+3*a.w] }

// Scratch holds the working memory of one worker. Its zero value is ready for use; it grows to what
// the largest image needs and is then reused without allocation. It is not safe for concurrent use.
type Scratch struct {
	kx, ky  kernel
	quad    []uint64  // four source rows interleaved, for the horizontal pass
	rows    ring      // rows buffered for the vertical pass
	sum     []uint64  // one output row of the vertical pass
	line    []uint8   // the same as bytes
	weights []float64 // of one output, before rounding
	hsv     *hsv      // 130 kB, allocated on first use
}

// grow returns s with length n, contents undefined.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
