package bulk

import (
	"sync"
	"time"
)

const (
	pictures     = 32  // on the host, over all concurrent batches: more is no faster and costs memory
	mostPictures = 256 // per batch on a device
	gain         = 1.05
	timed        = 3 // runs of a size that are timed
)

// sizer chooses the batch size. On a device it is tuned during the work: it doubles as long as that
// raises the throughput by at least 5 %.
type sizer struct {
	padded bool // run a partial batch at full size

	mu      sync.Mutex
	now     int
	most    int  // largest size to try
	settled bool // tuning is over
	runs    int  // at this size
	fastest float64
	before  float64 // pictures per second at half the size
}

// fixed returns the sizer for the host, where the workers share the cores. The size does not depend
// on timing, so the same pictures always round the same way.
func fixed(workers int) *sizer {
	size := max(4, pictures/workers)
	return &sizer{now: size, settled: true}
}

// learning returns the sizer for a device. It pads the last batch to full size: for a new batch
// size a device first searches for its fastest kernels, which takes longer than the surplus
// pictures.
func learning() *sizer { return &sizer{padded: true, now: pictures, most: mostPictures} }

// next returns the size of the next batch.
func (s *sizer) next() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// saw records the time taken by a batch of n pictures. The first batch of each size is ignored: it
// includes the device's setup.
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
