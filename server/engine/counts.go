package engine

import "github.com/prometheus/client_golang/prometheus"

// counts are what Prometheus is told of images. Times are in seconds.
type counts struct {
	hits            *prometheus.CounterVec
	decode, batches prometheus.Histogram
	images          prometheus.Counter
}

func newCounts(to prometheus.Registerer) *counts {
	c := &counts{
		hits: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "vicreg_cache_hits_total",
			Help: "Images whose vector was known, or under way for another request."}, []string{"how"}),
		decode: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "vicreg_decode_seconds",
			Help: "Decoding and resizing the images of a request.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16)}),
		batches: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "vicreg_batch_size",
			Help: "Images of a batch.", Buckets: []float64{1, 2, 4, 8, 16, 32, 64}}),
		images: prometheus.NewCounter(prometheus.CounterOpts{Name: "vicreg_images_total", Help: "Images embedded."}),
	}
	to.MustRegister(c.hits, c.decode, c.batches, c.images)
	return c
}
