package items

import "github.com/prometheus/client_golang/prometheus"

// count tells Prometheus of the index and of its rebuild.
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
	s.retries = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "vicreg_index_rebuild_retries_total",
		Help: "Times that rebuilds tried images again, which took too long or found the queue full."}, []string{"reason"})
	for _, reason := range []string{"busy", "late"} { // a rate wants its 0
		s.retries.WithLabelValues(reason)
	}
	to.MustRegister(s.retries)
}

// items is how many there are.
func (s *Shelf) items() float64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.index == nil {
		return 0
	}
	return float64(s.index.Len())
}

// progress is how far the rebuild has come.
func (s *Shelf) progress() (done, total int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.rebuild == nil {
		return 0, 0
	}
	return s.rebuild()
}
