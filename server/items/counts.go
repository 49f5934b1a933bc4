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
	gauge("rebuild_items", "Items that the current rebuild has to recompute; 0 without one.", func() float64 {
		_, total := s.progress()
		return float64(total)
	})
	gauge("rebuild_items_done", "Items that the current rebuild has recomputed; 0 without one.", func() float64 {
		done, _ := s.progress()
		return float64(done)
	})
	to.MustRegister(newSizes(s.stats))
	s.retries = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "vicreg_index_rebuild_retries_total",
		Help: "Retries of images by rebuilds, since they took too long or the queue was full."}, []string{"reason"})
	for _, reason := range []string{"busy", "late"} { // so that rates start from 0
		s.retries.WithLabelValues(reason)
	}
	to.MustRegister(s.retries)
}

// sizes collects the sizes of the index, all from one measurement.
type sizes struct {
	stats             func() index.Stats
	items, damaged    *prometheus.Desc
	memory, disk, log *prometheus.Desc
}

func newSizes(stats func() index.Stats) *sizes {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("vicreg_index_"+name, help, nil, nil)
	}
	return &sizes{
		stats:   stats,
		items:   desc("items", "Items in the index."),
		damaged: desc("damaged_items", "Items of the index that are damaged and left out."),
		memory:  desc("memory_bytes", "Vectors, their codes and sketches, ids, and metadata as filters use it, in memory."),
		disk:    desc("disk_bytes", "Size of the index file."),
		log:     desc("wal_bytes", "Size of the index file's write-ahead log."),
	}
}

// Describe implements prometheus.Collector.
func (z *sizes) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(z, to) }

// Collect implements prometheus.Collector.
func (z *sizes) Collect(to chan<- prometheus.Metric) {
	now := z.stats()
	gauge := func(desc *prometheus.Desc, value int64) {
		to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(value))
	}
	gauge(z.items, int64(now.Items))
	gauge(z.damaged, int64(now.Damaged))
	gauge(z.memory, now.Memory)
	gauge(z.disk, now.Disk)
	gauge(z.log, now.Log)
}

// stats returns the index's sizes, zeros if there is none.
func (s *Shelf) stats() index.Stats {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.index == nil {
		return index.Stats{}
	}
	return s.index.Stats()
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
