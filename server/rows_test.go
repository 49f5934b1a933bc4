package server

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"vicreg/models/onnx"
	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
)

// copied opens a model whose vector is the picture's numbers, on a device, with so many
// sessions, each of which writes a profile whose name begins with profiles and its number.
func copied(t *testing.T, sessions int, profiles string) (*encoder.Encoder, error) {
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
	var on []ort.Options
	for k := range sessions {
		on = append(on, ort.Options{Device: ort.Device{Kind: tensor.CUDA}, Level: ort.None, ProfilePrefix: fmt.Sprintf("%s%d-", profiles, k)})
	}
	return encoder.New(orttest.Open(t), file, on[0], on[1:]...)
}

// ranSizes are the batch sizes that a session ran, by its profile.
func ranSizes(t *testing.T, prefix string) map[int]int {
	t.Helper()
	files, err := filepath.Glob(prefix + "*")
	if err != nil || len(files) != 1 {
		t.Fatalf("profiles %v, %v", files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	var events []struct {
		Name string
		Args struct {
			Inputs []map[string][]int `json:"input_type_shape"`
		}
	}
	if err := json.Unmarshal(b, &events); err != nil {
		t.Fatal(err)
	}
	sizes := map[int]int{}
	for _, e := range events {
		if e.Name == "there_kernel_time" {
			sizes[e.Args.Inputs[0]["uint8"][0]]++
		}
	}
	return sizes
}

// seenBatches are the batches that the metrics count, and the images in them.
func seenBatches(t *testing.T, s *Server) (batches, images float64) {
	t.Helper()
	text := ask(s, "GET", "/metrics", nil).Body.String()
	for name, v := range map[string]*float64{"count": &batches, "sum": &images} {
		_, after, _ := strings.Cut(text, "\nvicreg_batch_size_"+name+" ")
		if _, err := fmt.Sscan(after, v); err != nil {
			t.Fatal(err)
		}
	}
	return batches, images
}

// On a device, images get there in batches of few sizes, each on a session that runs no
// other, and each image has its own answer, also while models take each other's places.
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
		return copied(t, len(sizes), filepath.Join(profiles, fmt.Sprintf("model%d-", opened)))
	}, config, slog.New(slog.NewJSONHandler(io.Discard, nil)))
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
	e = s.current()
	// Whatever was measured to pay, and whoever has left: batches of any number.
	batches, images := seenBatches(t, s)
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
	// Those of the canary, should one come by, are of 1.
	if b, i := seenBatches(t, s); i-images-20*21/2 != b-batches-20 {
		t.Errorf("%v images in %v batches were counted", i-images, b-batches)
	}
	for _, p := range e.sizes {
		if !slices.Contains(sizes, p.Size) {
			t.Errorf("size %d was measured", p.Size)
		}
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	for model := range opened {
		for k, size := range sizes {
			ran := ranSizes(t, filepath.Join(profiles, fmt.Sprintf("model%d-%d-", model+1, k)))
			if len(ran) != 1 || ran[size] == 0 {
				t.Errorf("session %d of model %d ran %v batches by size, want only %d", k, model+1, ran, size)
			}
		}
	}
}

// On the host one image is a row by itself, and several are copied into a new one.
func TestRowsOnTheHost(t *testing.T) {
	s := start(t, nil)
	r := s.current().rows
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
