package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"

	"vicreg/models/onnx"
	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
	"vicreg/server"
	"vicreg/server/index"
)

// model FILE SIZE: writes a model without weights, whose vector is the pixels of the picture
// reduced to SIZE x SIZE. Its stored mean is grey.
func model(ts *testscript.TestScript, _ bool, args []string) {
	size, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(writePixels(ts.MkAbs(args[0]), size))
}

func writePixels(path string, size int) error {
	m, err := orttest.Pixels(size, 1./255)
	if err != nil {
		return err
	}
	about := encoder.Metadata{Preprocess: imaging.Preprocess{Crop: size, Interpolation: "bilinear"},
		Normalization: encoder.Normalization{Std: [3]float64{1, 1, 1}}, Dim: 3 * size * size}
	for range about.Dim {
		about.Center = append(about.Center, 0.5)
	}
	if err := about.Attach(m); err != nil {
		return err
	}
	file, err := onnx.Marshal(m)
	if err != nil {
		return err
	}
	return os.WriteFile(path, file, 0o666)
}

// owned MODEL INDEX ARG...: runs vicreg with these arguments and --server URL while a server owns
// the index.
func owned(ts *testscript.TestScript, not bool, args []string) {
	lib, err := ort.Open(ts.Getenv(ort.EnvLibrary))
	ts.Check(err)
	s := server.New(func() (*encoder.Encoder, error) { return encoder.Open(lib, ts.MkAbs(args[0]), ort.Options{}) },
		server.Defaults(2), slog.New(slog.NewJSONHandler(io.Discard, nil)))
	ts.Check(s.Load())
	file, err := index.Open(context.Background(), ts.MkAbs(args[1]), index.Options{})
	ts.Check(err)
	s.Items.SetIndex(file)
	h := httptest.NewServer(s.Handler())
	err = ts.Exec("vicreg", append(args[2:], "--server", h.URL)...)
	h.Close()
	s.Items.SetIndex(nil)
	ts.Check(errors.Join(s.Close(context.Background()), file.Close()))
	if not == (err == nil) {
		ts.Fatalf("vicreg: %v", err)
	}
}
