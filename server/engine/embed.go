package engine

import (
	"context"
	"time"

	"vicreg/server/problem"
	"vicreg/server/request"
)

// Result is the outcome of a request's images.
type Result struct {
	Rows   []Outcome
	Thumbs [][]byte // one per image; nil if not requested
	Spans
}

// Outcome is the vector of one image, or why it has none.
type Outcome struct {
	Vector []float32 // [D]
	Err    *problem.Error
}

// Spans tell where the time of a request went.
type Spans struct {
	Decode, Queue, Infer time.Duration
	Batch                int // size of the largest batch that an image of the request was in
}

// Embed turns the images of a request into vectors and, if pictured is set, thumbnails. A bad image
// fails alone; the returned error is the whole request's. The result has the timings even after an
// error. The vectors may be shared with other requests, so callers must not modify them.
func (e *Engine) Embed(ctx context.Context, images []request.Image, pictured bool) (*Result, error) {
	j := &job{e: e, ctx: ctx, images: images, Result: &Result{Rows: make([]Outcome, len(images))}}
	if pictured {
		j.Thumbs = make([][]byte, len(images))
	}
	defer func() { e.shared.counts.failed(j.Rows) }()
	err := j.embed()
	if err == nil && pictured {
		err = j.illustrate()
	}
	return j.Result, err
}

// EmbedPixels is Embed for images as the model sees them, uint8 [S,S,3] each.
func (e *Engine) EmbedPixels(ctx context.Context, images [][]uint8) (*Result, error) {
	j := &job{e: e, ctx: ctx, Result: &Result{Rows: make([]Outcome, len(images))}}
	defer func() { e.shared.counts.failed(j.Rows) }()
	return j.Result, j.tensors(images)
}
