package server

import (
	"crypto/tls"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"

	"vicreg/server/items"
	"vicreg/server/jsonlog"
)

// watch adds the metrics that are read from the server on each scrape.
func (m *metrics) watch(s *Server) {
	gauge := func(name, help string, read func(embedder) float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "vicreg_" + name, Help: help}, func() float64 {
			if e := s.current(); e != nil {
				return read(e)
			}
			return 0
		}))
	}
	gauge("queue_depth", "Images accepted and not yet embedded.", func(e embedder) float64 { return float64(e.Stats().Waiting) })
	gauge("batch_size_limit", "Largest batch in images, as measured to be the best.", func(e embedder) float64 { return float64(e.Stats().Batch) })
	gauge("canary_age_seconds", "Time since the canary last succeeded.", func(e embedder) float64 { return e.Stats().CanaryAge.Seconds() })
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "vicreg_log_lines_lost_total", Help: "Log lines that could not be written."},
		func() float64 { return jsonlog.Lost(s.log) }))
	m.named("index_state", "State of the index for the current model: 1 for the state it is in, 0 for all others.", []string{"state"}, func(set func(v float64, labels ...string)) {
		now := items.States[0]
		if e := s.current(); e != nil {
			now = s.Items.State(e)
		}
		for _, state := range items.States {
			is := 0.0
			if state == now {
				is = 1
			}
			set(is, state)
		}
	})
	m.named("model_info", "The current model: 1, absent while there is none.", []string{"name", "fingerprint"}, func(set func(v float64, labels ...string)) {
		if e := s.current(); e != nil {
			set(1, s.config.Name, e.Fingerprint())
		}
	})
	m.named("build_info", "Build information: 1.", []string{"version", "revision"}, func(set func(v float64, labels ...string)) {
		set(1, version(), revision())
	})
}

// expires adds the expiry time of the TLS certificate that new connections get.
func (m *metrics) expires(get func(*tls.ClientHelloInfo) (*tls.Certificate, error)) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "vicreg_tls_certificate_expiry_timestamp_seconds",
		Help: "Expiry of the TLS certificate in use, in Unix time; only with --tls-cert."}, func() float64 {
		if pair, err := get(nil); err == nil && pair.Leaf != nil {
			return float64(pair.Leaf.NotAfter.Unix())
		}
		return 0
	}))
}

// named is a gauge whose label values change.
type named struct {
	desc *prometheus.Desc
	read func(set func(v float64, labels ...string))
}

// named adds a gauge; on each scrape, read calls set once per set of label values.
func (m *metrics) named(name, help string, labels []string, read func(set func(v float64, labels ...string))) {
	m.registry.MustRegister(&named{prometheus.NewDesc("vicreg_"+name, help, labels, nil), read})
}

func (n *named) Describe(to chan<- *prometheus.Desc) { to <- n.desc }

func (n *named) Collect(to chan<- prometheus.Metric) {
	n.read(func(v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(n.desc, prometheus.GaugeValue, v, labels...)
	})
}

// revision is the VCS revision of this build, if known.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return "unknown"
}
