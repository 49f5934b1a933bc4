package items

import (
	"github.com/prometheus/client_golang/prometheus"

	"vicreg/server/index"
)

// count registers the metrics of the index and its rebuild with Prometheus.
func (s *Shelf) count(to prometheus.Registerer) {
	gauge := func(name, help string, read func() float64) {
		to.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "vicreg_index_" + name, Help: help}, read))
	}
	gauge("items", "Items of the index.", s.items)
	gauge("rebuild_items", "Items that the rebuild under way has to make; 0 without one.", func() float64 {
		_, total := s.progress()
		return float64(total)
	})
	gauge("rebuild_items_done", "Items that the rebuild under way has made; 0 without one.", func() float64 {
		done, _ := s.progress()
		return float64(done)
	})
	gauge("memory_bytes", "Vectors, their codes and sketches, and the columns of filters in memory.", func() float64 { return float64(s.sizes().Memory) })
	gauge("disk_bytes", "The file of the index.", func() float64 { return float64(s.sizes().Disk) })
	gauge("wal_bytes", "The write-ahead log beside the file of the index.", func() float64 { return float64(s.sizes().Log) })
	s.retries = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "vicreg_index_rebuild_retries_total",
		Help: "Times that rebuilds tried images again, which took too long or found the queue full."}, []string{"reason"})
	for _, reason := range []string{"busy", "late"} { // so that rates start from 0
		s.retries.WithLabelValues(reason)
	}
	to.MustRegister(s.retries)
}

// items is the number of items.
func (s *Shelf) items() float64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.index == nil {
		return 0
	}
	return float64(s.index.Len())
}

// sizes returns the index's sizes, or zeros if it does not report any.
func (s *Shelf) sizes() index.Stats {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if measured, is := s.index.(interface{ Stats() index.Stats }); is {
		return measured.Stats()
	}
	return index.Stats{}
}

// progress reports how far the rebuild has got.
func (s *Shelf) progress() (done, total int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.rebuild == nil {
		return 0, 0
	}
	return s.rebuild()
}
