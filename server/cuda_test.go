package server

import (
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"vicreg/models/ort/orttest"
	"vicreg/pipeline/encoder"
	"vicreg/server/engine"
	"vicreg/server/servertest"
)

// On a device, images are run in batches of few sizes, each on a session that runs no other size,
// and each image gets its own result, even while models replace each other.
func TestServeOnCUDA(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	config := Defaults(4)
	config.Workers, config.MaxBatch, config.Pause, config.Cache = 1, 20, 0, 0
	sizes := []int{1, 8, 20}
	profiles, opened := t.TempDir(), 0
	s := New(func() (*encoder.Encoder, error) {
		opened++
		return servertest.Copied(t, len(sizes), filepath.Join(profiles, fmt.Sprintf("model%d-", opened)))
	}, config, slog.New(slog.NewJSONHandler(io.Discard, nil)))
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	e := s.current().(*engine.Engine)
	var photos [][]byte
	var want [][]float32
	p := e.NewPreprocessor()
	defer p.Close()
	for i := range 13 {
		photos = append(photos, servertest.Photo(t, i))
		pixels, v := make([]uint8, 3*e.Size()*e.Size()), []float32{}
		if err := p.Preprocess(photos[i], pixels); err != nil {
			t.Fatal(err)
		}
		for _, x := range pixels {
			v = append(v, float32(x))
		}
		want = append(want, v)
	}
	var clients sync.WaitGroup
	for c := range 4 {
		clients.Go(func() {
			for n := range len(photos) {
				body, kind := form(t, photos[:n+1]...)
				w := ask(s, "POST", "/embed", body, "Content-Type", kind, "Accept", "application/octet-stream")
				if w.Code != 200 || !slices.Equal(floats(w.Body.Bytes()), slices.Concat(want[:n+1]...)) {
					t.Errorf("client %d, %d images: status %d, or other vectors", c, n+1, w.Code)
				}
			}
		})
	}
	for range 2 {
		if err := s.Load(); err != nil {
			t.Error(err)
		}
	}
	clients.Wait()
	s.old.Wait()
	for _, p := range s.current().Stats().Throughput {
		if !slices.Contains(sizes, p.Size) {
			t.Errorf("size %d was measured", p.Size)
		}
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	for model := range opened {
		for k, size := range sizes {
			ran := servertest.RanSizes(t, filepath.Join(profiles, fmt.Sprintf("model%d-%d-", model+1, k)))
			if len(ran) != 1 || ran[size] == 0 {
				t.Errorf("session %d of model %d ran %v batches by size, want only %d", k, model+1, ran, size)
			}
		}
	}
}
