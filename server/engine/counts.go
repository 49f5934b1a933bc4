package engine

import (
	"github.com/prometheus/client_golang/prometheus"

	"vicreg/server/problem"
)

// counts are the Prometheus metrics of images. Times are in seconds.
type counts struct {
	hits            *prometheus.CounterVec
	errors          *prometheus.CounterVec // by problem code
	decode, batches prometheus.Histogram
	images, panics  prometheus.Counter
}

func newCounts(to prometheus.Registerer) *counts {
	c := &counts{
		hits: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "vicreg_cache_hits_total",
			Help: "Images whose vector was cached, or already being computed for another request."}, []string{"how"}),
		decode: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "vicreg_decode_seconds",
			Help: "Time to decode and resize the images of a request.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16)}),
		batches: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "vicreg_batch_size",
			Help: "Number of images per batch.", Buckets: prometheus.ExponentialBuckets(1, 2, 11)}), // up to the maximum of --max-batch
		images: prometheus.NewCounter(prometheus.CounterOpts{Name: "vicreg_images_total", Help: "Images embedded."}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "vicreg_image_errors_total",
			Help: "Images without a vector, including those of requests answered with 200."}, []string{"reason"}),
		panics: Panics("batch"),
	}
	for _, how := range []string{"known", "under way"} {
		c.hits.WithLabelValues(how)
	}
	for _, code := range []problem.Code{problem.BadImage, problem.Internal} { // so that rates start from 0
		c.errors.WithLabelValues(string(code))
	}
	to.MustRegister(c.hits, c.decode, c.batches, c.images, c.errors, c.panics)
	return c
}

// Panics counts the panics in one part of the program.
func Panics(in string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: "vicreg_panics_total",
		Help: "Panics recovered from, in batches and elsewhere in requests.", ConstLabels: prometheus.Labels{"in": in}})
}

// failed counts the images that have no vector.
func (c *counts) failed(rows []Outcome) {
	for _, r := range rows {
		if r.Err != nil {
			c.errors.WithLabelValues(string(r.Err.Code)).Inc()
		}
	}
}
