package server

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"log/slog"
	"math"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"vicreg/models"
	"vicreg/models/onnx"
	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
	"vicreg/server/problem"
)

// model is the file of a small backbone with weights that were drawn.
func model(t testing.TB, seed uint64) []byte {
	t.Helper()
	backbone, err := models.NewResNet("resnet18", "cifar", 4)
	if err != nil {
		t.Fatal(err)
	}
	c := models.Config{Backbone: backbone, Size: 16, Batch: 2, Mean: [3]float64{0.5, 0.5, 0.5}, Std: [3]float64{0.25, 0.25, 0.25},
		Expander: models.Expander{Widths: []int{8, 8}, Activation: "relu"}, Loss: models.Loss{Invariance: 25, Variance: 25, Covariance: 1}}
	eval, err := models.Eval(c)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]*tensor.Tensor{}
	for _, p := range eval.Params {
		values[p.Name] = p.InitialValue(seed)
		if strings.HasSuffix(p.Name, "bn2.weight") { // else every block is the identity
			for i := range values[p.Name].Float32() {
				values[p.Name].Float32()[i] = 1
			}
		}
	}
	g, err := models.Export(c, values)
	if err != nil {
		t.Fatal(err)
	}
	m, err := g.Model()
	if err != nil {
		t.Fatal(err)
	}
	metadata := &encoder.Metadata{Preprocess: imaging.Preprocess{Crop: 16, Interpolation: "bicubic"},
		Normalization: encoder.Normalization{Mean: c.Mean, Std: c.Std}, Dim: backbone.Dim(), Center: make([]float32, backbone.Dim())}
	if err := metadata.Attach(m); err != nil {
		t.Fatal(err)
	}
	file, err := onnx.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// start is a server with the settings that change makes of the defaults.
func start(t testing.TB, change func(*Config)) *Server {
	t.Helper()
	s := prepare(t, func() ([]byte, error) { return model(t, 1), nil }, change)
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	return s
}

// prepare is a server that has not loaded what open gives.
func prepare(t testing.TB, open func() ([]byte, error), change func(*Config)) *Server {
	t.Helper()
	config := Defaults(2)
	config.MaxBatch, config.Pause = 8, 10*time.Millisecond
	if change != nil {
		change(&config)
	}
	lib := orttest.Open(t)
	s := New(func() (*encoder.Encoder, error) {
		file, err := open()
		if err != nil {
			return nil, err
		}
		return encoder.New(lib, file, ort.Options{Threads: 2}, ort.Options{Threads: 1})
	}, config, slog.New(slog.NewJSONHandler(io.Discard, nil)))
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// photo is a PNG file that is different for each n.
func photo(t testing.TB, n int) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, 20+n, 24))
	for y := range 24 {
		for x := range 20 + n {
			m.Set(x, y, color.RGBA{uint8(x*y + 31*n), uint8(9*x + n), uint8(7 * y), 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// ask sends a request to the handler.
func ask(s *Server, method, path string, body []byte, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

// reply is the JSON form of an answer.
type reply struct {
	Model string
	Dim   int
	Data  []struct {
		Index     int
		Embedding json.RawMessage
		Error     *problem.Document
	}
	Usage struct{ Images int }
}

func parse(t *testing.T, w *httptest.ResponseRecorder) reply {
	t.Helper()
	var r reply
	if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil || w.Code != http.StatusOK {
		t.Fatalf("status %d, %v in %s", w.Code, err, w.Body)
	}
	return r
}

func numbers(t *testing.T, raw json.RawMessage) (v []float32) {
	t.Helper()
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func floats(b []byte) (v []float32) {
	for ; len(b) >= 4; b = b[4:] {
		v = append(v, math.Float32frombits(binary.LittleEndian.Uint32(b)))
	}
	return v
}

func close32(a, b []float32, by float64) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Abs(float64(x-y)) <= by })
}

func form(t testing.TB, files ...[]byte) (body []byte, kind string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i, f := range files {
		part, err := w.CreateFormFile("file", fmt.Sprintf("%d.png", i))
		if err != nil {
			t.Fatal(err)
		}
		part.Write(f)
	}
	w.Close()
	return b.Bytes(), w.FormDataContentType()
}

func inputs(files ...[]byte) []byte {
	list := []string{}
	for i, f := range files {
		text := base64.StdEncoding.EncodeToString(f)
		if i%2 == 1 {
			text = "data:image/png;base64," + text
		}
		list = append(list, text)
	}
	body, _ := json.Marshal(map[string]any{"inputs": list})
	return body
}
