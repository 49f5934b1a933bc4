package engine

import (
	"context"
	"time"

	"vicreg/server/problem"
	"vicreg/server/request"
)

// Result is what became of the images of a request.
type Result struct {
	Rows   []Outcome
	Thumbs [][]byte // of the images; nil when nobody wants them
	Spans
}

// Outcome is the vector of one image, or why it has none.
type Outcome struct {
	Vector []float32 // [D]
	Err    *problem.Error
}

// Spans are where the time of a request went.
type Spans struct {
	Decode, Queue, Infer time.Duration
	Batch                int // the largest that an image of the request was in
}

// Embed turns the images of a request into vectors, and into thumbnails when they are to
// be pictured. A bad image fails alone; the error is the whole request's. Also after an
// error the result tells where the time went. The vectors may be others', too: they are
// only to be read.
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
