package server

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/pipeline/encoder"
	"vicreg/server/engine"
	"vicreg/server/problem"
	"vicreg/server/servertest"
)

// start is a server with a loaded model and the defaults as modified by change.
func start(t testing.TB, change func(*Config)) *Server {
	t.Helper()
	s := prepare(t, func() ([]byte, error) { return servertest.Model(t, 1), nil }, change)
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	return s
}

// prepare is a server that has not loaded its model; open returns the model file.
func prepare(t testing.TB, open func() ([]byte, error), change func(*Config)) *Server {
	t.Helper()
	return prepareLogging(t, open, change, slog.New(slog.NewJSONHandler(io.Discard, nil)))
}

// prepareLogging is prepare with a log.
func prepareLogging(t testing.TB, open func() ([]byte, error), change func(*Config), log *slog.Logger) *Server {
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
	}, config, log)
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// direct is the vector that the model in service gives a picture, bypassing the server.
func direct(t testing.TB, s *Server, file []byte) []float32 {
	t.Helper()
	v, err := s.current().(*engine.Engine).EncodeImage(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	return v
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

// reply is an answer in JSON.
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
