package engine

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"vicreg/server/batch"
	"vicreg/server/problem"
	"vicreg/server/request"
)

// scraped returns the metrics in Prometheus's text format.
func scraped(from prometheus.Gatherer) string {
	w := httptest.NewRecorder()
	promhttp.HandlerFor(from, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	return w.Body.String()
}

// Images without a vector are counted by reason, and the log names the request in which the model
// failed. Panics are counted across models.
func TestFailuresAreCounted(t *testing.T) {
	var log bytes.Buffer
	told := prometheus.NewRegistry()
	shared := NewShared(settings, slog.New(slog.NewTextHandler(&log, nil)), told)
	for range 2 {
		e := &Engine{shared: shared, batcher: batch.New(func(_ context.Context, items [][]uint8) ([][]float32, error) {
			switch items[0][0] {
			case 0:
				return nil, errors.New("no memory")
			case 1:
				panic("boom")
			}
			return [][]float32{{0, 0}}, nil
		}, batch.Config{Max: 1, Queue: 8, Panicked: shared.counts.panics.Inc})}
		ctx := request.WithID(t.Context(), "id-7")
		r, err := e.EmbedPixels(ctx, [][]uint8{{0}, {1}, {2}})
		if err != nil || r.Rows[0].Err.Code != problem.Internal || r.Rows[2].Err.Code != problem.BadImage {
			t.Fatalf("%v %+v", err, r)
		}
		if err := e.batcher.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Count(log.String(), "request_id=id-7"); got != 4 {
		t.Errorf("%d lines name the request: %s", got, &log)
	}
	text := scraped(told)
	for _, want := range []string{`vicreg_image_errors_total{reason="internal"} 4`, `vicreg_image_errors_total{reason="bad-image"} 2`,
		`vicreg_panics_total{in="batch"} 2`, `vicreg_batch_size_bucket{le="128"}`, `vicreg_batch_size_bucket{le="1024"}`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}
