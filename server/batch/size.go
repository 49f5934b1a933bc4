package batch

import (
	"slices"
	"sync"
)

// sizer holds the batch size that pays and keeps re-evaluating it under load: now and then it tries
// the next larger or smaller size, and the time per item decides.
type sizer struct {
	mu    sync.Mutex
	sizes []int // the only sizes allowed, ascending
	best  int
	full  int             // full batches since the last trial
	up    bool            // the next trial is of the larger size, once enough items wait
	seen  map[int]*recent // by batch size
}

// recent is the exponential moving average of the seconds per item.
type recent struct {
	mean float64
	runs int // since the best size last changed
}

const (
	trialEvery = 16   // full batches between trials; the larger and the smaller size alternate
	trials     = 8    // runs of a size before it is compared
	memory     = 0.8  // weight of the old mean with each run
	keep       = 1.02 // a size that beats the next smaller one by less than this factor is given up; gain is the threshold for moving up
)

// newSizer starts at the size that Best found, or at the largest.
func newSizer(sizes []int, learnt []Point) *sizer {
	s := &sizer{sizes: sizes, best: sizes[len(sizes)-1], seen: map[int]*recent{}}
	if len(learnt) > 0 {
		s.best = min(s.best, pick(learnt))
	}
	return s
}

// Floor2 is the largest power of two up to n; n must be at least 1.
func Floor2(n int) int {
	p := 1
	for 2*p <= n {
		p *= 2
	}
	return p
}

// Powers are the powers of two up to n; n must be at least 1.
func Powers(n int) []int {
	var sizes []int
	for p := 1; p <= n; p *= 2 {
		sizes = append(sizes, p)
	}
	return sizes
}

// beside returns the sizes adjacent to size, 0 where there is none.
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
	case !s.up: // the best size is the smallest: no smaller one to try
		s.up = true
	}
	return s.best
}

// saw records how long a batch of n took, and changes the size when that pays.
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

// gains reports whether the larger size is faster per item by more than that factor.
func (s *sizer) gains(size, larger int, by float64) bool {
	return s.known(size) && s.known(larger) && s.seen[size].mean > by*s.seen[larger].mean
}

func (s *sizer) change(best int) {
	s.best = best
	for _, r := range s.seen {
		r.runs = 0
	}
}
