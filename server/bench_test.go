package server

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/nn"
	"vicreg/models/onnx"
	"vicreg/models/tensor"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
)

// A request around a model that costs next to nothing, over the loopback from many
// clients at once: what the server itself takes.
func BenchmarkInfer(b *testing.B) {
	const side = 18
	g, err := graph.Build("mean", func(g *graph.Graph) {
		x := nn.Normalize(g, g.Input("pixels", tensor.Uint8, graph.Batch, side, side, 3), [3]float64{}, [3]float64{1, 1, 1})
		g.Output("embedding", g.ReduceMean(x, false, 2, 3))
	})
	if err != nil {
		b.Fatal(err)
	}
	m, err := g.Model()
	if err != nil {
		b.Fatal(err)
	}
	metadata := &encoder.Metadata{Preprocess: imaging.Preprocess{Crop: side, Interpolation: "bicubic"},
		Normalization: encoder.Normalization{Std: [3]float64{1, 1, 1}}, Dim: 3, Center: make([]float32, 3)}
	if err := metadata.Attach(m); err != nil {
		b.Fatal(err)
	}
	file, err := onnx.Marshal(m)
	if err != nil {
		b.Fatal(err)
	}
	s := prepare(b, func() ([]byte, error) { return file, nil }, nil)
	if err := s.Load(); err != nil {
		b.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	h := &http.Server{Handler: s.Handler()}
	go h.Serve(l)
	defer h.Close()
	pixels := make([]byte, 3*side*side)
	head := fmt.Sprintf(`{"inputs":[{"name":"pixels","datatype":"UINT8","shape":[1,%d,%d,3],"parameters":{"binary_data_size":%d}}],"parameters":{"binary_data_output":true}}`, side, side, len(pixels))
	body := append([]byte(head), pixels...)
	request := fmt.Appendf(nil, "POST /v2/models/backbone/infer HTTP/1.1\r\nHost: x\r\n%s: %d\r\nContent-Length: %d\r\n\r\n%s", headerLength, len(head), len(body), body)
	b.SetParallelism(32)
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Error(err)
			return
		}
		defer c.Close()
		answer := make([]byte, 4096)
		for p.Next() {
			if _, err := c.Write(request); err != nil {
				b.Error(err)
			}
			if n, err := c.Read(answer); err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 200")) {
				b.Errorf("%v in %q", err, answer[:n])
			}
		}
	})
}
