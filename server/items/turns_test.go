package items

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"vicreg/server/batch"
	"vicreg/server/engine"
	"vicreg/server/request"
)

// slow is a model that takes a while for each image, longer for some, and refuses calls with more
// than room images.
type slow struct {
	Model
	each  time.Duration
	than  map[string]time.Duration // files that take longer, by content
	room  int
	sizes []int // number of images of each call
}

func (m *slow) Embed(ctx context.Context, images []request.Image, _ bool) (*engine.Result, error) {
	m.sizes = append(m.sizes, len(images))
	if len(images) > m.room {
		return nil, &batch.Full{After: time.Second}
	}
	took, r := time.Duration(0), &engine.Result{}
	for _, i := range images {
		took += max(m.each, m.than[string(i.File)])
		r.Rows, r.Thumbs = append(r.Rows, engine.Outcome{Vector: []float32{float32(i.File[0])}}), append(r.Thumbs, i.File)
	}
	return r, pause(ctx, took)
}

// embedded embeds the n files a, b and so on with a deadline of half a second, and returns the
// result, the retry counter and the log.
func embedded(t *testing.T, m *slow, n int) (r *engine.Result, retries *prometheus.CounterVec, log *bytes.Buffer) {
	t.Helper()
	s := New(Config{}, slog.New(slog.DiscardHandler), Host{}, prometheus.NewRegistry())
	log = &bytes.Buffer{}
	var images []request.Image
	for i := range n {
		images = append(images, request.Image{File: []byte{'a' + byte(i)}})
	}
	r, err := newTurns(m, time.Second/2, slog.New(slog.NewTextHandler(log, nil)), s.retries).embed(t.Context(), images)
	if err != nil || len(r.Rows) != n || len(r.Thumbs) != n {
		t.Fatalf("%v, %+v", err, r)
	}
	for i, row := range r.Rows {
		if row.Err == nil && (row.Vector[0] != float32('a'+i) || r.Thumbs[i][0] != 'a'+byte(i)) {
			t.Errorf("image %d has the vector of another", i)
		}
	}
	return r, s.retries, log
}

// Images that together miss the deadline are retried in smaller batches, which grow again when all
// goes well.
func TestTurnsAreHalved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &slow{each: 200 * time.Millisecond, room: 8}
		begin := time.Now()
		_, retries, log := embedded(t, m, 20)
		if want := []int{8, 4, 2, 2, 2, 2, 2, 2, 2, 2, 4, 2, 2}; !slices.Equal(m.sizes, want) {
			t.Errorf("turns of %v, want %v", m.sizes, want)
		}
		if took := time.Since(begin); took != 5500*time.Millisecond { // 20 images, plus three batches that timed out
			t.Errorf("%v", took)
		}
		if got := counted(t, retries, "late"); got != 3 || strings.Count(log.String(), "is retrying images") != 1 {
			t.Errorf("%v retries, log: %s", got, log)
		}
	})
}

// A single image that is too slow gets a longer deadline, and fails alone if it misses that too.
func TestTurnsOfOneImageEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &slow{room: 8, than: map[string]time.Duration{"b": 4 * time.Second, "d": time.Hour}}
		r, _, _ := embedded(t, m, 5)
		for i, row := range r.Rows {
			if late := i == 3; (row.Err != nil) != late {
				t.Errorf("image %d: %v", i, row.Err)
			}
		}
		if text := r.Rows[3].Err.Error(); !strings.Contains(text, "it alone took longer than 5s") {
			t.Error(text)
		}
	})
}

// A queue with room for fewer images than a batch does not make the rebuild wait for ever.
func TestTurnsFitTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &slow{room: 3}
		_, retries, log := embedded(t, m, 8)
		if want := []int{8, 4, 2, 2, 2, 2}; !slices.Equal(m.sizes, want) || counted(t, retries, "busy") != 2 {
			t.Errorf("turns of %v, want %v", m.sizes, want)
		}
		if !strings.Contains(log.String(), "reason=busy") {
			t.Errorf("log: %s", log)
		}
	})
}

// A rebuild that waits for room logs once a minute, and stops when its context ends.
func TestTurnsWaitUntilTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 150*time.Second)
		defer cancel()
		var log bytes.Buffer
		s := New(Config{}, slog.New(slog.DiscardHandler), Host{}, prometheus.NewRegistry())
		_, err := newTurns(&slow{}, time.Second, slog.New(slog.NewTextHandler(&log, nil)), s.retries).embed(ctx, []request.Image{{File: []byte("a")}})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if got := strings.Count(log.String(), "is retrying images"); got != 3 || !strings.Contains(log.String(), "retries=60") {
			t.Errorf("%d lines: %s", got, &log)
		}
	})
}

func counted(t *testing.T, c *prometheus.CounterVec, label string) float64 {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	all, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all[0].GetMetric() {
		if m.GetLabel()[0].GetValue() == label {
			return m.GetCounter().GetValue()
		}
	}
	return 0
}
