package engine

import (
	"bytes"
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
	"vicreg/server/problem"
	"vicreg/server/request"
)

// pool turns files into pixels with a bounded number of decoders and a bounded number of pixels
// being decoded at once.
type pool struct {
	enc    *encoder.Encoder
	free   chan *encoder.Preprocessor // idle ones
	pixels *semaphore.Weighted        // shared by all pools
	files  atomic.Int64               // waiting or being decoded
	once   sync.Once                  // guards close

	mu      sync.Mutex
	seconds float64 // moving average of the time per file
}

// keepUpTo is the largest image, in pixels, whose memory a decoder keeps for the next one.
const keepUpTo = 4_000_000

func newPool(enc *encoder.Encoder, decoders int, pixels *semaphore.Weighted) *pool {
	p := &pool{enc: enc, free: make(chan *encoder.Preprocessor, decoders), pixels: pixels}
	for range decoders {
		p.free <- enc.NewPreprocessor()
	}
	return p
}

// preprocess turns an image into the pixels that the model sees, uint8 [S,S,3]. see may be nil;
// otherwise it is passed the whole picture, which is valid only during the call. An unusable image
// is a *problem.Error; any other error comes from ctx or see.
func (p *pool) preprocess(ctx context.Context, image request.Image, see func(*imaging.RGB) error) ([]uint8, error) {
	file, limits := image.File, p.enc.Limits
	limits.TIFF = limits.TIFF || image.Local
	p.files.Add(1)
	defer p.files.Add(-1)
	info, err := imaging.Probe(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, problem.Errorf(problem.BadImage, "%v", err)
	}
	if info.Format == "tiff" && !limits.TIFF { // worded for clients: local files have other rules
		return nil, problem.Errorf(problem.BadImage, "the server does not accept TIFF, unlike other commands: send JPEG, PNG, WebP or GIF")
	}
	weight := p.weight(info)
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
	worker.Limits = limits
	pixels := make([]uint8, 3*p.enc.Size()*p.enc.Size())
	begin := time.Now()
	if err = worker.Preprocess(file, pixels); err != nil {
		err = problem.Errorf(problem.BadImage, "%v", err)
	} else if see != nil {
		err = see(worker.Picture())
	}
	p.took(time.Since(begin))
	if weight > keepUpTo { // otherwise the decoder would keep that memory for good
		worker.Close()
		worker = p.enc.NewPreprocessor()
	}
	if err != nil {
		return nil, err
	}
	return pixels, nil
}

// tables is the minimum weight of a WebP file: a lossless one may need 140 MB of tables, whatever
// its size in pixels.
const tables = keepUpTo

// weight is the number of pixels of an image, or 1 if it exceeds the limit: it is rejected later
// and needs no memory.
func (p *pool) weight(info imaging.Info) int64 {
	n := float64(info.W) * float64(info.H) // can overflow int64 for TIFF
	if n > float64(p.enc.Limits.Pixels) {
		return 1
	}
	if info.Format == "webp" {
		n = max(n, float64(min(tables, p.enc.Limits.Pixels)))
	}
	return max(1, int64(n))
}

func (p *pool) took(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seconds == 0 {
		p.seconds = d.Seconds()
	}
	p.seconds += 0.05 * (d.Seconds() - p.seconds)
}

// predict estimates how long it takes from now until n more files are decoded.
func (p *pool) predict(n int) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	rounds := math.Ceil(float64(int(p.files.Load())+n) / float64(cap(p.free)))
	return time.Duration(rounds * p.seconds * float64(time.Second))
}

// close frees the decoders once they are all idle. It is idempotent.
func (p *pool) close() {
	p.once.Do(func() {
		for range cap(p.free) {
			(<-p.free).Close()
		}
	})
}
