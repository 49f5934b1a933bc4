package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/labstack/echo/v4"

	"vicreg/server/servertest"
)

// tells checks that the metrics contain these lines.
func tells(t *testing.T, s *Server, lines ...string) {
	t.Helper()
	text := ask(s, "GET", "/metrics", nil).Body.String()
	for _, line := range lines {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("the metrics do not have %s", line)
		}
	}
}

// An image that fails among others is counted, whatever the status of the whole answer.
func TestImageErrorsInGoodAnswers(t *testing.T) {
	s := start(t, nil)
	if w := ask(s, "POST", "/embed", inputs(servertest.Photo(t, 0), []byte("no image")), "Content-Type", asJSON); w.Code != http.StatusOK {
		t.Fatal(w.Body)
	}
	tells(t, s, `vicreg_image_errors_total{reason="bad-image"} 1`, `vicreg_images_total 1`)
}

// An answer that breaks off does not count as a success but as a client that left or an internal
// error.
func TestBrokenAnswersAreCounted(t *testing.T) {
	s := prepare(t, func() ([]byte, error) { return nil, errors.New("not asked for") }, nil)
	var log bytes.Buffer
	s.log = slog.New(slog.NewTextHandler(&log, nil))
	left, leave := context.WithCancel(t.Context())
	leave()
	for i, c := range []struct {
		ctx   context.Context
		fail  func() error
		code  int
		level slog.Level
	}{
		{t.Context(), func() error { return &net.OpError{Op: "write", Err: syscall.ECONNRESET} }, 499, slog.LevelWarn},
		{t.Context(), func() error { return fmt.Errorf("write: %w", syscall.EPIPE) }, 499, slog.LevelWarn},
		{left, func() error { return errors.New("stream closed") }, 499, slog.LevelWarn},
		{t.Context(), func() error { return errors.New("no vector") }, 500, slog.LevelError},
		{t.Context(), func() error { panic("boom") }, 500, slog.LevelError},
	} {
		path := fmt.Sprint("/broken", i)
		s.handler.GET(path, func(answer echo.Context) error {
			answer.Response().WriteHeader(http.StatusOK)
			return c.fail()
		})
		log.Reset()
		s.Handler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", path, nil).WithContext(c.ctx))
		tells(t, s, fmt.Sprintf(`vicreg_requests_total{code="%d",route=%q} 1`, c.code, path))
		for _, want := range []string{fmt.Sprintf("level=%s msg=\"a response was cut off\"", c.level), fmt.Sprintf("status=%d", c.code)} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("%s: no %s in %s", path, want, &log)
			}
		}
	}
	tells(t, s, `vicreg_panics_total{in="request"} 1`, `vicreg_panics_total{in="batch"} 0`)
}

// The metrics report whether the index can be searched, how large it is, and for which model.
func TestIndexStateInMetrics(t *testing.T) {
	path, weights := filepath.Join(t.TempDir(), "photos.index"), uint64(1)
	s, _ := keeping(t, path, false, &weights)
	tells(t, s, `vicreg_index_state{state="none"} 1`, "vicreg_index_disk_bytes 0")
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	fill(t, s, 2)
	tells(t, s, `vicreg_index_state{state="ready"} 1`, `vicreg_index_state{state="stale"} 0`,
		fmt.Sprintf(`vicreg_model_info{fingerprint=%q,name="backbone"} 1`, s.current().Fingerprint()))
	weights = 2
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	tells(t, s, `vicreg_index_state{state="ready"} 0`, `vicreg_index_state{state="stale"} 1`, "vicreg_index_rebuild_items 0")
	s.Items.SetRebuild(func() (done, total int) { return 5, 9 })
	tells(t, s, `vicreg_index_state{state="rebuilding"} 1`, "vicreg_index_rebuild_items 9", "vicreg_index_rebuild_items_done 5")
	text := ask(s, "GET", "/metrics", nil).Body.String()
	for _, name := range []string{"vicreg_index_memory_bytes", "vicreg_index_disk_bytes", "vicreg_index_wal_bytes"} {
		if !strings.Contains(text, "\n"+name+" ") || strings.Contains(text, "\n"+name+" 0\n") {
			t.Errorf("no %s in\n%s", name, text)
		}
	}
}

// Prometheus can tell when a certificate needs to be renewed.
func TestCertificateExpiryInMetrics(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePair(t, cert, key, 1)
	c, err := newCertificate(cert, key, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s := prepare(t, func() ([]byte, error) { return nil, errors.New("not asked for") }, nil)
	s.metrics.expires(c.get)
	pair, err := c.get(nil)
	if err != nil {
		t.Fatal(err)
	}
	tells(t, s, fmt.Sprintf("vicreg_tls_certificate_expiry_timestamp_seconds %g", float64(pair.Leaf.NotAfter.Unix())))
}
