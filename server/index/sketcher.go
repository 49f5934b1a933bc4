package index

import (
	"context"
	"runtime/debug"
	"sync"

	"vicreg/server/index/sketch"
)

// sketcher sketches the vectors of full segments, so that searches read less. It blocks nobody:
// searches do without sketches that are not there yet.
type sketcher struct {
	state func() *state
	wake  chan struct{}
	stop  context.CancelFunc // nil if nothing runs in the background
	ended sync.WaitGroup

	mu sync.Mutex // held while drawing
}

// learnt holds the axes of a namespace, and its number of full segments when they were learnt.
type learnt struct {
	axes     *sketch.Axes
	segments int
}

const (
	// mostOff is the fraction of the vectors' squared length off the axes up to which sketches
	// are kept: beyond it they rule out too little to be worth reading.
	mostOff = 0.2
	// foreign is the factor by which that fraction may exceed the one of the vectors learnt from,
	// for vectors to share their axes.
	foreign = 1.5
	// sampled is the number of rows of a segment by which it is decided whether to sketch them
	// all.
	sampled = 256
)

// useless is a sentinel in place of sketches that would not help.
var useless = &sketch.Sketches{}

func newSketcher(state func() *state) *sketcher {
	return &sketcher{state: state, wake: make(chan struct{}, 1)}
}

// start sketches in the background until close, whenever there is something to do.
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

// more signals that a segment is full. For the last one of a namespace that happens only when the
// next row is added.
func (k *sketcher) more() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// close stops the background work. It may be called more than once.
func (k *sketcher) close() {
	if k.stop != nil {
		k.stop()
	}
	k.ended.Wait()
}

// Sketch does synchronously what Options.Sketch does in the background.
func (f *File) Sketch(ctx context.Context) error {
	_, leave, err := f.enter()
	if err != nil {
		return err
	}
	leave()
	f.sketcher.draw(ctx)
	return ctx.Err()
}

// draw sketches all full segments that have no sketches.
func (k *sketcher) draw(ctx context.Context) {
	k.mu.Lock()
	defer k.mu.Unlock()
	st, learnt := k.state(), false
	for _, name := range st.sorted() {
		c := st.collection(name)
		before := c.learnt.axes
		c.sketch(ctx, func() bool { return ctx.Err() == nil && k.state() == st && st.collection(name) == c })
		learnt = learnt || c.learnt.axes != before
		if ctx.Err() != nil || k.state() != st { // the new state is sketched next
			break
		}
	}
	if learnt { // learning leaves as much garbage as it keeps
		tune(st.total.bytes.Load())
		debug.FreeOSMemory()
	}
}

// sketch sketches the full segments of a namespace, for as long as ofUse returns true. What is
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
			c.recount()
			i = -1 // start over
			continue
		}
		p.sketches.Store(drawn)
		c.recount()
	}
}

// draw sketches a segment; it returns nil if ctx ends.
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

// unsuited reports whether other axes may suit the vectors of k better.
func (l *learnt) unsuited(k *sketch.Sketches) bool {
	return k == useless || k != nil && k.Off > foreign*l.axes.Off
}

// forget drops the sketches that the newly learnt axes may improve on.
func (l *learnt) forget(full []part) {
	for _, p := range full {
		if l.unsuited(p.sketches.Load()) {
			p.sketches.Store(nil)
		}
	}
}

// complete returns the parts whose segments are full, which do not change any more.
func (s *snapshot) complete() (all []part) {
	for _, p := range s.parts {
		if p.segment != nil && p.n == segmentRows {
			all = append(all, p)
		}
	}
	return all
}

// learn finds axes from vectors spread evenly over some full parts. It returns false if ctx ends.
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
