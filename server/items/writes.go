package items

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"vicreg/server/index"
)

// writes tracks whether the index can be written. A server whose disk is full still answers
// everything else and stays ready, so this is where monitoring learns of it.
type writes struct {
	failing atomic.Bool // the last change failed, although the change itself was valid
	errors  prometheus.Counter
}

func newWrites(to prometheus.Registerer) *writes {
	w := &writes{errors: prometheus.NewCounter(prometheus.CounterOpts{Name: "vicreg_index_write_errors_total",
		Help: "Changes to the index that could not be written, for example because the disk is full."})}
	to.MustRegister(w.errors, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "vicreg_index_writes_failing",
		Help: "1 if the last change to the index could not be written, until one succeeds."}, func() float64 {
		if w.failing.Load() {
			return 1
		}
		return 0
	}))
	return w
}

// wrote records the outcome of a change to the index and returns its error.
func (s *Shelf) wrote(err error) error {
	var item *index.ItemError
	switch w := s.writes; {
	case err == nil:
		if w.failing.Swap(false) {
			s.log.Info("writes to the index succeed again")
		}
	case errors.As(err, &item), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, index.ErrClosed):
	default:
		w.errors.Inc()
		if !w.failing.Swap(true) {
			s.log.Error("cannot write to the index", "error", err)
		}
	}
	return err
}
