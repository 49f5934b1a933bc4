// Package bulk turns many images into vectors: the loop that keeps decoders and model busy, the
// progress line, and the flags for the machine it runs on.
package bulk

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"vicreg/models/tensor"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/encoder"
)

// Represent is Encode with one worker, for callers that treat a non-finite vector as an error.
func Represent(ctx context.Context, enc *encoder.Encoder, r *dataset.Reader, indices []int,
	each func(p dataset.Picture, y []float32) error) error {
	return Encode(ctx, enc, 1, r, indices, func(p dataset.Picture, y []float32) error {
		if !Finite(y) {
			return errors.New("the model's vectors are not finite: its file is damaged, or its training diverged")
		}
		return each(p, y)
	})
}

// Encode encodes the pictures with the given indices and calls each for every one, in order. Up to
// workers batches (see Machine.Workers) run at once while further pictures are decoded. The pixels
// are valid only during the call; the vector belongs to each. An error from each ends the encoding.
// Bad files are skipped and listed in r.Quarantined().
func Encode(ctx context.Context, enc *encoder.Encoder, workers int, r *dataset.Reader, indices []int,
	each func(p dataset.Picture, y []float32) error) error {
	sizes := fixed(workers)
	if enc.Device().Kind != tensor.Host {
		sizes = learning()
	}
	return encode(ctx, enc, workers, sizes, r, indices, each)
}

func encode(ctx context.Context, enc *encoder.Encoder, workers int, sizes *sizer, r *dataset.Reader, indices []int,
	each func(p dataset.Picture, y []float32) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	l := newLoop(ctx, enc, workers, sizes)
	group.Go(func() error { return l.collect(r, indices) })
	for range workers {
		group.Go(l.work)
	}
	err := l.deliver(each)
	if err != nil {
		cancel()
	}
	err = cmp.Or(err, group.Wait())
	l.close()
	return err
}

// Finite reports whether values holds neither NaN nor infinity.
func Finite(values []float32) bool {
	for _, v := range values {
		if v-v != 0 {
			return false
		}
	}
	return true
}

// loop is one run of encode. Batches go from free to both todo and order, and from order back to
// free.
type loop struct {
	ctx               context.Context
	enc               *encoder.Encoder
	sizes             *sizer
	batches           []*batch
	free, todo, order chan *batch // capacity: every batch
}

// batch is up to size pictures and, once encoded, their vectors.
type batch struct {
	size    int
	members []int
	room    *encoder.Pixels // nil before the first use
	pixels  []uint8         // prefix of room.Data
	y       []float32
	done    chan struct{}
}

func newLoop(ctx context.Context, enc *encoder.Encoder, workers int, sizes *sizer) *loop {
	n := workers + 2 // one being filled and one waiting besides those being encoded
	l := &loop{ctx: ctx, enc: enc, sizes: sizes, free: make(chan *batch, n), todo: make(chan *batch, n), order: make(chan *batch, n)}
	for range n {
		b := &batch{done: make(chan struct{}, 1)}
		l.batches = append(l.batches, b)
		l.free <- b
	}
	return l
}

// close frees the batches' memory. No goroutine may be using them any more.
func (l *loop) close() {
	for _, b := range l.batches {
		b.free()
	}
}

func (b *batch) free() {
	if b.room != nil {
		b.room.Close()
		b.room = nil
	}
}

// begin prepares an empty batch for as many pictures as sizes says the next one holds.
func (l *loop) begin(b *batch) (err error) {
	b.size = l.sizes.next()
	if b.room == nil || len(b.room.Data) < b.size*l.bytes() {
		b.free()
		if b.room, err = l.enc.NewPixels(b.size); err != nil {
			return err
		}
	}
	b.members, b.pixels = slices.Grow(b.members[:0], b.size), b.room.Data[:0]
	return nil
}

// bytes is the size of a picture.
func (l *loop) bytes() int { return 3 * l.enc.Size() * l.enc.Size() }

// collect fills batches with pictures.
func (l *loop) collect(r *dataset.Reader, indices []int) error {
	defer close(l.order)
	defer close(l.todo)
	var b *batch
	for p, err := range dataset.Images(l.ctx, r, indices, l.enc.Metadata().Preprocess, 0) {
		if err != nil {
			return err
		}
		if b == nil {
			select {
			case b = <-l.free:
			case <-l.ctx.Done():
				return l.ctx.Err()
			}
			if err := l.begin(b); err != nil {
				return err
			}
		}
		b.members, b.pixels = append(b.members, p.Index), append(b.pixels, p.Pixels...)
		if len(b.members) == b.size {
			l.todo <- b
			l.order <- b
			b = nil
		}
	}
	if b != nil {
		l.todo <- b
		l.order <- b
	}
	return nil
}

// work encodes batches from todo until it is closed.
func (l *loop) work() (err error) {
	for b := range l.todo {
		n := len(b.members)
		if l.sizes.padded {
			n = b.size // the padding is whatever the memory held before
		}
		begin := time.Now()
		if b.y, err = l.enc.Encode(l.ctx, b.pixels[:n*l.bytes()], n); err != nil {
			return err
		}
		l.sizes.saw(n, time.Since(begin))
		b.done <- struct{}{}
	}
	return nil
}

// deliver passes the pictures on in order. It returns the error of each, or the cause of the
// cancellation.
func (l *loop) deliver(each func(p dataset.Picture, y []float32) error) error {
	size, dim := l.bytes(), l.enc.Dim()
	for b := range l.order {
		select {
		case <-b.done:
		case <-l.ctx.Done():
			return context.Cause(l.ctx) // the error of another goroutine, if that was the cause
		}
		for i, index := range b.members {
			p := dataset.Picture{Index: index, Pixels: b.pixels[i*size : (i+1)*size]}
			if err := each(p, b.y[i*dim:(i+1)*dim:(i+1)*dim]); err != nil {
				return err
			}
		}
		l.free <- b
	}
	return nil
}
