package items

import (
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// checkpoints tracks failures to move the index's write-ahead log into its file. They harm no
// request, but the log grows, and the disk is likely to be at fault.
type checkpoints struct {
	log    *slog.Logger
	errors prometheus.Counter

	mu   sync.Mutex
	last time.Time // of the last line in the log
}

func newCheckpoints(log *slog.Logger, to prometheus.Registerer) *checkpoints {
	k := &checkpoints{log: log, errors: prometheus.NewCounter(prometheus.CounterOpts{Name: "vicreg_index_checkpoint_errors_total",
		Help: "Failed checkpoints of the write-ahead log into the index file, other than because of a reader."})}
	to.MustRegister(k.errors)
	return k
}

// silence is how long failures are counted without another line in the log: each change may bring
// one.
const silence = time.Hour

func (k *checkpoints) failed(err error) {
	k.errors.Inc()
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := time.Now(); k.last.IsZero() || now.Sub(k.last) >= silence {
		k.last = now
		k.log.Error("the index's write-ahead log grows, because it cannot be checkpointed", "error", err)
	}
}
