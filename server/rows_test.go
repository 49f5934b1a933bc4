package server

import (
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"

	"vicreg/models/onnx"
	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
)

// copied opens a model whose vector is the picture's numbers, on a device.
func copied(t *testing.T) (*encoder.Encoder, error) {
	const size = 4
	m := orttest.Copied(size)
	about := encoder.Metadata{Preprocess: imaging.Preprocess{Crop: size, Interpolation: "bilinear"},
		Normalization: encoder.Normalization{Std: [3]float64{1, 1, 1}}, Dim: 3 * size * size, Center: make([]float32, 3*size*size)}
	if err := about.Attach(m); err != nil {
		return nil, err
	}
	file, err := onnx.Marshal(m)
	if err != nil {
		return nil, err
	}
	return encoder.New(orttest.Open(t), file, ort.Options{Device: ort.Device{Kind: tensor.CUDA}, Level: ort.None})
}

// On a device, images get there in batches of any size, each with its own answer, also
// while models take each other's places.
func TestServeOnCUDA(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	config := Defaults(4)
	config.Workers, config.MaxBatch, config.Pause, config.Cache = 1, 8, 0, 0
	s := New(func() (*encoder.Encoder, error) { return copied(t) }, config, slog.New(slog.NewJSONHandler(io.Discard, nil)))
	defer func() {
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	e := s.current()
	if cap(e.rows) != 1 || len(e.rows) != 1 || e.narrow != e.Encoder {
		t.Fatalf("%d of %d rows are free", len(e.rows), cap(e.rows))
	}
	var photos [][]byte
	var want [][]float32
	p := e.NewPreprocessor()
	defer p.Close()
	for i := range 13 {
		photos = append(photos, photo(t, i))
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
}

// On the host one image is a row by itself, and several are copied into a new one.
func TestRowsOnTheHost(t *testing.T) {
	s := start(t, nil)
	r := s.current().rows
	if r != nil {
		t.Fatal("the host keeps rows")
	}
	one, two := []uint8{1, 2, 3}, []uint8{4, 5, 6}
	row, done := r.join([][]uint8{one})
	if done(); &row[0] != &one[0] {
		t.Error("one image was copied")
	}
	row, done = r.join([][]uint8{one, two})
	if done(); !slices.Equal(row, []uint8{1, 2, 3, 4, 5, 6}) {
		t.Errorf("joined: %v", row)
	}
}
