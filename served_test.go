package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"

	"vicreg/models/ort"
	"vicreg/pipeline/encoder"
	"vicreg/server"
)

// served MODEL DIR VECTORS.jsonl: checks that the server returns, for each image in a folder, the
// vector that vicreg embed wrote.
func served(ts *testscript.TestScript, _ bool, args []string) {
	lib, err := ort.Open(ts.Getenv(ort.EnvLibrary))
	ts.Check(err)
	open := func() (*encoder.Encoder, error) { return encoder.Open(lib, ts.MkAbs(args[0]), ort.Options{}) }
	s := server.New(open, server.Defaults(2), slog.New(slog.NewJSONHandler(io.Discard, nil)))
	ts.Check(s.Load())
	defer func() { ts.Check(s.Close(context.Background())) }()
	compared := 0
	for d := json.NewDecoder(bytes.NewReader([]byte(ts.ReadFile(args[2])))); d.More(); compared++ {
		var want struct {
			Path      string
			Embedding []float32
		}
		ts.Check(d.Decode(&want))
		r := httptest.NewRequest("POST", "/embed", bytes.NewReader([]byte(ts.ReadFile(filepath.Join(args[1], want.Path)))))
		r.Header.Set("Content-Type", "application/octet-stream")
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		var got struct {
			Data []struct{ Embedding []float32 }
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK {
			ts.Fatalf("%s: %d %s", want.Path, w.Code, w.Body)
		}
		for i, v := range got.Data[0].Embedding {
			if math.Abs(float64(v-want.Embedding[i])) > 1e-5*(1+math.Abs(float64(v))) {
				ts.Fatalf("%s: number %d is %v, vicreg embed wrote %v", want.Path, i, v, want.Embedding[i])
			}
		}
	}
	if compared == 0 {
		ts.Fatalf("%s holds no vector", args[2])
	}
}
