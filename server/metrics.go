package server

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"vicreg/server/engine"
)

// metrics are the server's Prometheus metrics. Times are in seconds.
type metrics struct {
	registry             *prometheus.Registry
	requests, rejected   *prometheus.CounterVec
	reloads, keyReloads  *prometheus.CounterVec
	seconds              *prometheus.HistogramVec
	queue, infer, search prometheus.Histogram
	inFlight             prometheus.Gauge
	panics               prometheus.Counter
}

func newMetrics() *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	buckets := prometheus.ExponentialBuckets(0.0005, 2, 16)
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: "vicreg_" + name, Help: help, Buckets: buckets})
	}
	m.requests = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "vicreg_requests_total", Help: "Requests answered; 499 if the client disconnected, even in the middle of an answer."}, []string{"route", "code"})
	m.rejected = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "vicreg_rejected_total", Help: "Requests answered with an error."}, []string{"reason"})
	m.reloads = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "vicreg_reloads_total", Help: "Number of model reloads."}, []string{"result"})
	m.keyReloads = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "vicreg_api_key_reloads_total", Help: "Number of API key reloads."}, []string{"result"})
	m.seconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "vicreg_request_seconds", Help: "Time from the request's headers to the answer.", Buckets: buckets}, []string{"route"})
	m.queue = histogram("queue_seconds", "Longest wait of a request's images for their batch.", buckets)
	m.infer = histogram("infer_seconds", "Longest run of the batches with a request's images.", buckets)
	m.search = histogram("search_seconds", "Time to search the index for all queries of a request.", buckets)
	m.inFlight = prometheus.NewGauge(prometheus.GaugeOpts{Name: "vicreg_requests_in_flight", Help: "Work requests not yet answered."})
	m.panics = engine.Panics("request")
	for _, result := range []string{"ok", "failed"} { // so that rates start from 0
		m.reloads.WithLabelValues(result)
		m.keyReloads.WithLabelValues(result)
	}
	m.registry.MustRegister(m.panics, m.keyReloads, m.inFlight, m.requests, m.rejected, m.reloads, m.seconds, m.queue, m.infer, m.search,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// spent records where the time of a request went; search is 0 for none.
func (m *metrics) spent(t engine.Spans, search time.Duration) {
	if t.Batch > 0 {
		m.queue.Observe(t.Queue.Seconds())
		m.infer.Observe(t.Infer.Seconds())
	}
	if search > 0 {
		m.search.Observe(search.Seconds())
	}
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
