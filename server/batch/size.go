package batch

import "sync"

// sizer holds the batch size that pays, and checks it again while work goes on: now
// and then a batch has twice or half that size, and what an item takes there decides.
type sizer struct {
	mu   sync.Mutex
	most int // never more than this
	best int
	full int             // batches of the best size since the last trial
	up   bool            // the next trial is of twice the size, as soon as so many wait
	seen map[int]*recent // by size
}

// recent is the fading mean of the seconds of an item.
type recent struct {
	mean float64
	runs int // since the best size changed
}

const (
	trialEvery = 16   // full batches, for the larger and the smaller size in turn
	trials     = 8    // runs of a size before it is compared
	memory     = 0.8  // what the mean keeps with each run
	keep       = 1.02 // a size that gains less over its half is given up; gain says when to take a larger one
)

// newSizer begins with the size that Best found, or with most.
func newSizer(most int, learnt []Point) *sizer {
	s := &sizer{most: most, best: Floor2(most), seen: map[int]*recent{}}
	if len(learnt) > 0 {
		s.best = min(s.best, pick(learnt))
	}
	return s
}

// Floor2 is the largest power of two up to n, of which there must be 1 or more.
func Floor2(n int) int {
	p := 1
	for 2*p <= n {
		p *= 2
	}
	return p
}

func (s *sizer) now() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.best
}

// next is how many of the waiting items the next batch may have.
func (s *sizer) next(waiting int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if waiting < s.best {
		return waiting
	}
	s.full++
	switch twice := 2 * s.best; {
	case s.full < trialEvery:
	case s.up && twice <= s.most && twice <= waiting:
		s.full, s.up = 0, false
		return twice
	case s.best > 1 && (!s.up || twice > s.most || s.full >= 2*trialEvery):
		s.full, s.up = 0, true
		return s.best / 2
	case !s.up: // there is no half of 1
		s.up = true
	}
	return s.best
}

// saw tells how long a batch of n took, and changes the size when that pays.
func (s *sizer) saw(n int, seconds float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.seen[n]
	if r == nil {
		r = &recent{mean: seconds / float64(n)}
		s.seen[n] = r
	}
	r.mean += (1 - memory) * (seconds/float64(n) - r.mean)
	r.runs++
	switch {
	case s.gains(s.best, gain):
		s.change(2 * s.best)
	case s.best > 1 && s.known(s.best/2) && s.known(s.best) && !s.gains(s.best/2, keep):
		s.change(s.best / 2)
	}
}

func (s *sizer) known(size int) bool { return s.seen[size] != nil && s.seen[size].runs >= trials }

// gains says whether twice the size makes an item faster by that factor.
func (s *sizer) gains(size int, by float64) bool {
	return s.known(size) && s.known(2*size) && s.seen[size].mean > by*s.seen[2*size].mean
}

func (s *sizer) change(best int) {
	s.best = best
	for _, r := range s.seen {
		r.runs = 0
	}
}
