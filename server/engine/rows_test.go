package engine

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"vicreg/models/ort/orttest"
	"vicreg/server/servertest"
)

// On a device, batches of any size are padded to a session's size, whatever was measured to pay and
// whichever callers have left; each image gets its own result.
func TestBatchesOnCUDA(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	sizes, profiles := []int{1, 8, 20}, t.TempDir()
	enc, err := servertest.Copied(t, len(sizes), filepath.Join(profiles, "session"))
	if err != nil {
		t.Fatal(err)
	}
	config, counted := settings, prometheus.NewRegistry()
	config.Workers, config.MaxBatch = 1, 20
	e, err := NewShared(config, slog.New(slog.DiscardHandler), counted).Start(enc)
	if err != nil {
		t.Fatal(err)
	}
	if cap(e.rows) != 1 || len(e.rows) != 1 || e.narrow != e.Encoder {
		t.Fatalf("%d of %d rows are free", len(e.rows), cap(e.rows))
	}
	batches, images := seenBatches(t, counted)
	for n := 1; n <= config.MaxBatch; n++ {
		items := make([][]uint8, n)
		for i := range items {
			items[i] = slices.Repeat([]uint8{uint8(n + 2*i)}, 3*e.Size()*e.Size())
		}
		y, err := e.encode(t.Context(), items)
		if err != nil || len(y) != n {
			t.Fatalf("a batch of %d: %d vectors, %v", n, len(y), err)
		}
		for i, v := range y {
			if len(v) != e.Dim() || v[0] != float32(n+2*i) || v[len(v)-1] != v[0] {
				t.Errorf("image %d of %d: %v", i, n, v)
			}
		}
	}
	// Canary batches, should one occur, have size 1.
	if b, i := seenBatches(t, counted); i-images-20*21/2 != float64(b-batches-20) {
		t.Errorf("%v images in %v batches were counted", i-images, b-batches)
	}
	for _, p := range e.sizes {
		if !slices.Contains(sizes, p.Size) {
			t.Errorf("size %d was measured", p.Size)
		}
	}
	if err := e.Close(t.Context()); err != nil {
		t.Error(err)
	}
	for k, size := range sizes {
		if ran := servertest.RanSizes(t, filepath.Join(profiles, fmt.Sprintf("session%d-", k))); len(ran) != 1 || ran[size] == 0 {
			t.Errorf("session %d ran %v batches by size, want only %d", k, ran, size)
		}
	}
}

// seenBatches returns the number of batches in the metrics, and of the images in them.
func seenBatches(t *testing.T, from prometheus.Gatherer) (batches uint64, images float64) {
	t.Helper()
	all, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if m.GetName() == "vicreg_batch_size" {
			h := m.GetMetric()[0].GetHistogram()
			return h.GetSampleCount(), h.GetSampleSum()
		}
	}
	t.Fatal("no batches are counted")
	return 0, 0
}

// On the host a single image is used without copying, and several are copied into a new buffer.
func TestRowsOnTheHost(t *testing.T) {
	r := start(t, nil).rows
	if r != nil {
		t.Fatal("the host keeps rows")
	}
	one, two := []uint8{1, 2, 3}, []uint8{4, 5, 6}
	row, done := r.join([][]uint8{one}, 1)
	if done(); &row[0] != &one[0] {
		t.Error("one image was copied")
	}
	row, done = r.join([][]uint8{one, two}, 2)
	if done(); !slices.Equal(row, []uint8{1, 2, 3, 4, 5, 6}) {
		t.Errorf("joined: %v", row)
	}
}
