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

	mu     sync.Mutex
	learnt map[*collection]learnt
}

// learnt are the axes of a namespace, and how many full segments it had then.
type learnt struct {
	axes     *sketch.Axes
	segments int
}

const (
	// mostRest is the share of the vectors' squared length off the axes up to which
	// sketches are kept: beyond it they rule out too little to be worth reading.
	mostRest = 0.2
	// foreign is how many times what it was for those learnt from that share may be, for
	// vectors that have the same axes.
	foreign = 1.5
)

// useless takes the place of sketches that would be.
var useless = &sketch.Sketches{}

func newSketcher(state func() *state) *sketcher {
	return &sketcher{state: state, wake: make(chan struct{}, 1), learnt: map[*collection]learnt{}}
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

// more tells that a segment is full.
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
	f.sketcher.draw(ctx)
	return ctx.Err()
}

// draw sketches all that is full and has no sketches.
func (k *sketcher) draw(ctx context.Context) {
	k.mu.Lock()
	defer k.mu.Unlock()
	st, before := k.state(), k.learnt
	k.learnt = map[*collection]learnt{} // without those that are gone
	new := false
	for _, name := range st.sorted() {
		c := st.collection(name)
		k.learnt[c] = c.snapshot().sketch(ctx, before[c])
		new = new || k.learnt[c].axes != before[c].axes
	}
	if new { // learning leaves garbage as large as all that is kept of it
		tune(st.bytes())
		debug.FreeOSMemory()
	}
}

// sketch sketches a namespace. When ctx ends, what is done stays.
func (s *snapshot) sketch(ctx context.Context, l learnt) learnt {
	if sketch.Count(s.dim) == 0 {
		return l
	}
	full := s.full()
	for _, p := range full {
		if p.sketches.Load() != nil {
			continue
		}
		if l.axes == nil {
			l = s.learn(ctx, full)
		}
		if ctx.Err() != nil {
			return l
		}
		drawn := l.draw(p)
		if drawn.Rest > foreign*l.axes.Rest && len(full) >= 2*l.segments {
			if l = s.learn(ctx, full); ctx.Err() != nil {
				return l
			}
			drawn = l.draw(p)
		}
		if drawn.Rest > mostRest {
			drawn = useless
		}
		p.sketches.Store(drawn)
	}
	return l
}

func (l learnt) draw(p part) *sketch.Sketches { return sketch.Draw(l.axes, p.vectors) }

// full are the parts whose segments are, which do not change any more.
func (s *snapshot) full() (all []part) {
	for _, p := range s.parts {
		if p.segment != nil && p.n == segmentRows {
			all = append(all, p)
		}
	}
	return all
}

// learn finds axes by vectors from all over some full parts; none when ctx ends.
func (s *snapshot) learn(ctx context.Context, full []part) learnt {
	n := sketch.Count(s.dim)
	rows, want := len(full)*segmentRows, sketch.Sample(n)
	var sample []float32
	for i := range min(rows, want) {
		at := i * rows / min(rows, want)
		sample = append(sample, full[at/segmentRows].row(at%segmentRows, s.dim).vector...)
	}
	return learnt{sketch.Learn(ctx, sample, s.dim, n), len(full)}
}
