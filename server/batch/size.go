package batch

import (
	"slices"
	"sync"
)

// sizer holds the batch size that pays, and checks it again while work goes on: now
// and then a batch has the next larger or smaller size, and what an item takes there
// decides.
type sizer struct {
	mu    sync.Mutex
	sizes []int // ascending; there are no others
	best  int
	full  int             // batches of the best size since the last trial
	up    bool            // the next trial is of the larger size, as soon as so many wait
	seen  map[int]*recent // by size
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
	keep       = 1.02 // a size that gains less over the one below is given up; gain says when to take a larger one
)

// newSizer begins with the size that Best found, or with the largest.
func newSizer(sizes []int, learnt []Point) *sizer {
	s := &sizer{sizes: sizes, best: sizes[len(sizes)-1], seen: map[int]*recent{}}
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

// Powers are the powers of two up to n, of which there must be 1 or more.
func Powers(n int) []int {
	var sizes []int
	for p := 1; p <= n; p *= 2 {
		sizes = append(sizes, p)
	}
	return sizes
}

// beside are the sizes next to one, 0 where there is none.
func (s *sizer) beside(size int) (smaller, larger int) {
	i := slices.Index(s.sizes, size)
	if i > 0 {
		smaller = s.sizes[i-1]
	}
	if i+1 < len(s.sizes) {
		larger = s.sizes[i+1]
	}
	return smaller, larger
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
	switch smaller, larger := s.beside(s.best); {
	case s.full < trialEvery:
	case s.up && larger > 0 && larger <= waiting:
		s.full, s.up = 0, false
		return larger
	case smaller > 0 && (!s.up || larger == 0 || s.full >= 2*trialEvery):
		s.full, s.up = 0, true
		return smaller
	case !s.up: // there is none below the smallest
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
	switch smaller, larger := s.beside(s.best); {
	case s.gains(s.best, larger, gain):
		s.change(larger)
	case s.known(smaller) && s.known(s.best) && !s.gains(smaller, s.best, keep):
		s.change(smaller)
	}
}

func (s *sizer) known(size int) bool { return s.seen[size] != nil && s.seen[size].runs >= trials }

// gains says whether the larger size makes an item faster by that factor.
func (s *sizer) gains(size, larger int, by float64) bool {
	return s.known(size) && s.known(larger) && s.seen[size].mean > by*s.seen[larger].mean
}

func (s *sizer) change(best int) {
	s.best = best
	for _, r := range s.seen {
		r.runs = 0
	}
}
