package items

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// All failures are counted; the log has the first, and another one only after an hour.
func TestCheckpointFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		counted := prometheus.NewRegistry()
		k := newCheckpoints(slog.New(slog.NewTextHandler(&text, nil)), counted)
		want := func(lines int) {
			t.Helper()
			if n := strings.Count(text.String(), "grows"); n != lines {
				t.Errorf("%d lines, want %d: %s", n, lines, &text)
			}
		}
		for range 3 {
			k.failed(errors.New("input/output error"))
		}
		want(1)
		time.Sleep(silence - time.Second) // of the bubble's clock
		k.failed(errors.New("again"))
		want(1)
		time.Sleep(time.Second)
		k.failed(errors.New("again"))
		want(2)
		if all, err := counted.Gather(); err != nil || all[0].GetMetric()[0].GetCounter().GetValue() != 5 {
			t.Errorf("%v, %v", all, err)
		}
	})
}
