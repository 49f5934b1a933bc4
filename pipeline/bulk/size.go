package bulk

import (
	"sync"
	"time"
)

const (
	pictures     = 32  // in all batches on the host together: more gains nothing there and costs memory
	mostPictures = 256 // of a batch on a device
	gain         = 1.05
	timed        = 3 // runs of a size that are compared
)

// sizer says how many pictures a batch has. On a device that is found out while work
// goes on: twice as many, as long as a picture gains 5 % by it.
type sizer struct {
	padded bool // all batches of a size are run as full ones

	mu      sync.Mutex
	now     int
	most    int  // that are to be tried
	settled bool // no other is
	runs    int  // of this size
	fastest float64
	before  float64 // pictures a second at half the size
}

// fixed is the size on the host, where so many workers share the processors. It does
// not depend on the clock, so that the same pictures are rounded in the same way.
func fixed(workers int) *sizer {
	size := max(4, pictures/workers)
	return &sizer{now: size, settled: true}
}

// learning is the size on a device. The last batch is run as a full one there: for a
// number that it has not seen, a device looks for its fastest kernels first, which takes
// longer than pictures that nobody wants.
func learning() *sizer { return &sizer{padded: true, now: pictures, most: mostPictures} }

// next is the size of the next batch.
func (s *sizer) next() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// saw tells how long a batch of so many pictures took. The first of a size does not
// count: the device gets ready for it.
func (s *sizer) saw(n int, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.settled || n != s.now {
		return
	}
	if s.runs++; s.runs > 1 {
		s.fastest = max(s.fastest, float64(n)/max(took.Seconds(), 1e-9))
	}
	if s.runs <= timed {
		return
	}
	switch {
	case s.fastest < gain*s.before:
		s.now, s.settled = s.now/2, true
	case s.now == s.most:
		s.settled = true
	default:
		s.now, s.before = 2*s.now, s.fastest
		s.runs, s.fastest = 0, 0
	}
}
