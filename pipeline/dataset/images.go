package dataset

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"runtime"

	"golang.org/x/sync/errgroup"

	"vicreg/pipeline/imaging"
)

// Picture is one preprocessed image of a set.
type Picture struct {
	Index  int     // in the set
	Pixels []uint8 // [Crop,Crop,3], valid until the next iteration
}

// Images preprocesses the images with the given indices in the same way as serving and yields them
// in that order. Bad files are skipped and appear in r.Quarantined() afterwards; images that the
// reader's Look rejects are skipped, too. An error that is not a bad file's, the end of ctx, or
// more than the fraction MaxBad of bad files ends the iteration: that error is yielded last.
// workers of 0 means one per processor; all have ended when the iteration ends, however it ends. It
// is an error if the reader's Conversion differs from that of pre.
func Images(ctx context.Context, r *Reader, indices []int, pre imaging.Preprocess, workers int) iter.Seq2[Picture, error] {
	return func(yield func(Picture, error) bool) {
		if err := pre.Validate(); err != nil {
			yield(Picture{}, fmt.Errorf("preprocess images: %w", err))
			return
		}
		if pre.Conversion != r.config.Conversion {
			yield(Picture{}, fmt.Errorf("preprocess images: they are read with %+v and wanted with %+v", r.config.Conversion, pre.Conversion))
			return
		}
		if workers < 1 {
			workers = runtime.GOMAXPROCS(0)
		}
		ctx, cancel := context.WithCancel(ctx)
		group, ctx := errgroup.WithContext(ctx)
		defer group.Wait()
		defer cancel()
		s := newStream(ctx, r, pre, 4*workers)
		group.Go(func() error { return s.plan(indices) })
		for range workers {
			group.Go(s.work)
		}
		var t tally
		last := 0 // index of the last bad one
		for next := range s.order {
			select {
			case <-next.done:
			case <-ctx.Done():
			}
			if ctx.Err() != nil {
				break
			}
			if next.good && !yield(next.Picture, nil) {
				return
			}
			if t.seen++; next.bad {
				t.bad, last = t.bad+1, next.Index
			}
			// The indices come in key order, so only all of them together are a fair sample.
			if t.seen == len(indices) && t.over(r.config.MaxBad, r.set.Len()) {
				yield(Picture{}, r.tooMany(t.bad, t.seen, last))
				return
			}
			s.free <- next
		}
		if ctx.Err() != nil {
			yield(Picture{}, cmp.Or(group.Wait(), ctx.Err()))
		}
	}
}

// slot is an image in progress.
type slot struct {
	Picture
	good, bad bool // both false: left out
	done      chan struct{}
}

type stream struct {
	ctx               context.Context
	r                 *Reader
	pre               imaging.Preprocess
	free, todo, order chan *slot // each has capacity for every slot
}

func newStream(ctx context.Context, r *Reader, pre imaging.Preprocess, slots int) *stream {
	s := &stream{ctx: ctx, r: r, pre: pre}
	s.free, s.todo, s.order = make(chan *slot, slots), make(chan *slot, slots), make(chan *slot, slots)
	for range slots {
		s.free <- &slot{Picture: Picture{Pixels: make([]uint8, 3*pre.Crop*pre.Crop)}, done: make(chan struct{}, 1)}
	}
	return s
}

func (s *stream) plan(indices []int) error {
	defer close(s.order)
	defer close(s.todo)
	for _, i := range indices {
		select {
		case t := <-s.free:
			t.Index = i
			s.order <- t
			s.todo <- t
		case <-s.ctx.Done():
			return s.ctx.Err()
		}
	}
	return nil
}

func (s *stream) work() error {
	d := desk{look: s.r.config.Look}
	defer d.decoder.Close()
	for t := range s.todo {
		if s.ctx.Err() != nil {
			return s.ctx.Err()
		}
		m, err := s.r.image(t.Index, &d)
		t.good, t.bad = err == nil, err != nil && isBad(err)
		if err != nil && !t.bad && err != errLeftOut {
			return err
		}
		if t.good {
			imaging.Evaluate(m, t.Pixels, s.pre, &d.scratch)
		}
		t.done <- struct{}{}
	}
	return nil
}
