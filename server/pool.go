package server

import (
	"bytes"
	"context"
	"math"
	"sync"

	"golang.org/x/sync/semaphore"

	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
)

// pool turns files into pixels with a bounded number of decoders, and a bounded
// number of pixels decoded at once.
type pool struct {
	enc    *encoder.Encoder
	free   chan *encoder.Preprocessor // those at rest
	pixels *semaphore.Weighted
	room   int64
	once   sync.Once // to close
}

// sizeable is how many images of the largest size may be in memory at once.
const sizeable = 2

// keepUpTo is the number of pixels of an image whose memory a decoder keeps for
// the next one.
const keepUpTo = 4_000_000

func newPool(enc *encoder.Encoder, decoders int) *pool {
	room := int64(sizeable * enc.Limits.Pixels)
	p := &pool{enc: enc, free: make(chan *encoder.Preprocessor, decoders), pixels: semaphore.NewWeighted(room), room: room}
	for range decoders {
		p.free <- enc.NewPreprocessor()
	}
	return p
}

// preprocess turns a file into the pixels that the model sees, uint8 [S,S,3]. An
// image that cannot be used is a *problem; any other error is that of ctx.
func (p *pool) preprocess(ctx context.Context, file []byte) ([]uint8, error) {
	info, err := imaging.Probe(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, problemf(badImage, "%v", err)
	}
	weight := p.room / sizeable
	if n := float64(info.W) * float64(info.H); n < float64(weight) {
		weight = max(1, int64(math.Ceil(n)))
	}
	if err := p.pixels.Acquire(ctx, weight); err != nil {
		return nil, err
	}
	defer p.pixels.Release(weight)
	var worker *encoder.Preprocessor
	select {
	case worker = <-p.free:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { p.free <- worker }()
	pixels := make([]uint8, 3*p.enc.Size()*p.enc.Size())
	err = worker.Preprocess(file, pixels)
	if weight > keepUpTo { // it would keep that memory for good
		worker.Close()
		worker = p.enc.NewPreprocessor()
	}
	if err != nil {
		return nil, problemf(badImage, "%v", err)
	}
	return pixels, nil
}

// close frees the decoders once they are all at rest. It may be called again.
func (p *pool) close() {
	p.once.Do(func() {
		for range cap(p.free) {
			(<-p.free).Close()
		}
	})
}
