package encoder_test

import (
	"os"
	"strings"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/nn"
	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/ort/standin"
	"vicreg/models/tensor"
	"vicreg/pipeline/encoder"
)

// multiplied builds a network of a single float32 product with weights of the given type.
func multiplied(weights tensor.DType) func(g *graph.Graph, x *graph.Value) {
	return func(g *graph.Graph, x *graph.Value) {
		w := g.Const("weights", func() *tensor.Tensor { return tensor.New(weights, 3*side*side, width) })
		g.Output("features", g.MatMul(g.Reshape(x, graph.Batch, 3*side*side), g.Cast(w, tensor.Float32)))
	}
}

// A CUDA device may use its tensor cores for a model with float16 weights, and rounds no product of
// any other.
func TestTensorCoresOfHalves(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	log := os.Getenv(standin.EnvLog)
	asked := func(f func() error) bool {
		t.Helper()
		os.Remove(log)
		if err := f(); err != nil {
			t.Fatal(err)
		}
		said, _ := os.ReadFile(log) // absent if nothing was requested
		return strings.Contains(string(said), "products in tf32")
	}
	for weights, want := range map[tensor.DType]bool{tensor.Float16: true, tensor.Float32: false} {
		network := multiplied(weights)
		foreign := made(t, func(g *graph.Graph) { network(g, g.Input("image", tensor.Float32, graph.Batch, 3, side, side)) })
		g, err := graph.Build("own", func(g *graph.Graph) {
			network(g, nn.Normalize(g, g.Input("pixels", tensor.Uint8, graph.Batch, side, side, 3), imagenet.Mean, imagenet.Std, tensor.Float32))
		})
		if err != nil {
			t.Fatal(err)
		}
		m := attach(t, g, encoder.Metadata{Preprocess: how().Preprocess, Normalization: imagenet, Dim: width, Center: make([]float32, width)})
		own := func() error {
			e, err := encoder.New(orttest.Open(t), marshal(t, m), ort.Options{Device: cuda, Level: ort.None})
			if err != nil {
				return err
			}
			defer e.Close()
			_, err = e.Encode(t.Context(), pixels(e, 2), 2)
			return err
		}
		if got := asked(own); got != want {
			t.Errorf("weights of %v: tensor cores %v", weights, got)
		}
		tried := func() error {
			encoder.Adapt(orttest.Open(t), cuda, foreign, how()) // its vectors are not computed
			return nil
		}
		if got := asked(tried); got != want {
			t.Errorf("weights of %v, when a foreign model is tried: tensor cores %v", weights, got)
		}
	}
}
