package index

import (
	"context"
	"runtime/debug"
	"sync"

	"vicreg/server/index/sketch"
)

// sketcher sketches the vectors of full segments, for searches to read less. It is never
// in the way of anybody: searches do without what it has not come to.
type sketcher struct {
	state func() *state
	wake  chan struct{}
	stop  context.CancelFunc // nil where none works in the background
	ended sync.WaitGroup

	mu sync.Mutex // held to draw
}

// learnt are the axes of a namespace, and how many full segments it had then.
type learnt struct {
	axes     *sketch.Axes
	segments int
}

const (
	// mostOff is the share of the vectors' squared length off the axes up to which
	// sketches are kept: beyond it they rule out too little to be worth reading.
	mostOff = 0.2
	// foreign is how many times what it was for those learnt from that share may be, for
	// vectors that have the same axes.
	foreign = 1.5
	// sampled rows of a segment tell whether it is worth it to sketch them all.
	sampled = 256
)

// useless takes the place of sketches that would be.
var useless = &sketch.Sketches{}

func newSketcher(state func() *state) *sketcher {
	return &sketcher{state: state, wake: make(chan struct{}, 1)}
}

// start works in the background until close, whenever there is something to do.
func (k *sketcher) start() {
	ctx, stop := context.WithCancel(context.Background())
	k.stop = stop
	k.ended.Go(func() {
		for {
			k.draw(ctx)
			select {
			case <-k.wake:
			case <-ctx.Done():
				return
			}
		}
	})
}

// more tells that a segment is full. The last one of a namespace counts as that with the
// next row that is added.
func (k *sketcher) more() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// close ends what works in the background. It may be called again.
func (k *sketcher) close() {
	if k.stop != nil {
		k.stop()
	}
	k.ended.Wait()
}

// Sketch does now, and until it is done, what Options.Sketch has done in the background.
func (f *File) Sketch(ctx context.Context) error {
	_, leave, err := f.enter()
	if err != nil {
		return err
	}
	leave()
	f.sketcher.draw(ctx)
	return ctx.Err()
}

// draw sketches all that is full and has no sketches.
func (k *sketcher) draw(ctx context.Context) {
	k.mu.Lock()
	defer k.mu.Unlock()
	st, learnt := k.state(), false
	for _, name := range st.sorted() {
		c := st.collection(name)
		before := c.learnt.axes
		c.sketch(ctx, func() bool { return ctx.Err() == nil && k.state() == st && st.collection(name) == c })
		learnt = learnt || c.learnt.axes != before
		if ctx.Err() != nil || k.state() != st { // which is to be sketched next
			break
		}
	}
	if learnt { // which leaves garbage as large as all that is kept of it
		tune(st.bytes())
		debug.FreeOSMemory()
	}
}

// sketch sketches the full segments of a namespace, for as long as that is of use. What is
// done by then stays.
func (c *collection) sketch(ctx context.Context, ofUse func() bool) {
	s, l := c.snapshot(), &c.learnt
	if sketch.Count(s.dim) == 0 {
		return
	}
	full := s.complete()
	for i := 0; i < len(full) && ofUse(); i++ {
		p := full[i]
		if p.sketches.Load() != nil {
			continue
		}
		if l.axes == nil && !l.learn(ctx, full, s.dim) {
			return
		}
		drawn := l.draw(ctx, p)
		if l.unsuited(drawn) && len(full) >= 2*l.segments {
			if !l.learn(ctx, full, s.dim) {
				return
			}
			l.forget(full)
			i = -1 // all over again
			continue
		}
		p.sketches.Store(drawn)
	}
}

// draw sketches a segment; nil when ctx ends.
func (l *learnt) draw(ctx context.Context, p part) *sketch.Sketches {
	some := sketch.Draw(ctx, l.axes, p.vectors[:sampled*len(p.vectors)/segmentRows])
	if some == nil {
		return nil
	}
	if some.Off > foreign*mostOff {
		return useless
	}
	all := sketch.Draw(ctx, l.axes, p.vectors)
	if all != nil && all.Off > mostOff {
		return useless
	}
	return all
}

// unsuited tells whether other axes may be better for what these were drawn of.
func (l *learnt) unsuited(k *sketch.Sketches) bool {
	return k == useless || k != nil && k.Off > foreign*l.axes.Off
}

// forget drops the sketches for which the axes that were learnt last may be better.
func (l *learnt) forget(full []part) {
	for _, p := range full {
		if l.unsuited(p.sketches.Load()) {
			p.sketches.Store(nil)
		}
	}
}

// complete are the parts whose segments are full, which do not change any more.
func (s *snapshot) complete() (all []part) {
	for _, p := range s.parts {
		if p.segment != nil && p.n == segmentRows {
			all = append(all, p)
		}
	}
	return all
}

// learn finds axes by vectors from all over some full parts, unless ctx ends.
func (l *learnt) learn(ctx context.Context, full []part, dim int) bool {
	n := sketch.Count(dim)
	rows := len(full) * segmentRows
	want := min(rows, sketch.Sample(n))
	sample := make([]float32, 0, want*dim)
	for i := range want {
		at := i * rows / want
		sample = append(sample, full[at/segmentRows].row(at%segmentRows, dim).vector...)
	}
	axes := sketch.Learn(ctx, sample, dim, n)
	if axes == nil {
		return false
	}
	*l = learnt{axes, len(full)}
	return true
}
