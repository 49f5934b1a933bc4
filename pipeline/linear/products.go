package linear

import (
	"context"
	"errors"
	"fmt"

	"vicreg/models/graph"
	"vicreg/models/ort"
	"vicreg/models/tensor"
)

// products holds the two matrix products of a classifier with K kinds of D-vectors. ONNX Runtime
// multiplies several times as fast as gonum, on all cores.
type products struct {
	d, k             int
	forward, reverse *ort.Session
}

func newProducts(p *Prober, d, k int) (m *products, err error) {
	m = &products{d: d, k: k}
	m.forward, err = session(p, "scores", func(g *graph.Graph) *graph.Value {
		x, w := g.Input("x", tensor.Float32, graph.Batch, d), g.Input("w", tensor.Float32, k, d)
		return g.Gemm(x, w, nil, graph.GemmAttr{TransB: true}) // [N, K]
	})
	if err == nil {
		m.reverse, err = session(p, "gradient", func(g *graph.Graph) *graph.Value {
			miss, x := g.Input("miss", tensor.Float32, graph.Batch, k), g.Input("x", tensor.Float32, graph.Batch, d)
			return g.Gemm(miss, x, nil, graph.GemmAttr{TransA: true}) // [K, D]
		})
	}
	if err != nil {
		m.close()
		return nil, fmt.Errorf("prepare a linear classifier: %w", err)
	}
	return m, nil
}

// session builds the graph of one product and loads it.
func session(p *Prober, name string, product func(*graph.Graph) *graph.Value) (*ort.Session, error) {
	g, err := graph.Build(name, func(g *graph.Graph) { g.Output("y", product(g)) })
	if err != nil {
		return nil, err
	}
	model, err := g.Marshal()
	if err != nil {
		return nil, err
	}
	return p.Runtime.NewSession(model, ort.Options{Threads: p.Threads})
}

// scores returns x wᵀ without the intercepts for vectors x [N, D]: [N, K].
func (m *products) scores(ctx context.Context, x *tensor.Tensor, weights []float64) (*tensor.Tensor, error) {
	w := tensor.New(tensor.Float32, m.k, m.d)
	for i := range w.Float32() {
		w.Float32()[i] = float32(weights[i])
	}
	out, err := m.forward.RunContext(ctx, tensor.Batch{"x": x, "w": w})
	return out["y"], err
}

// gradient returns the gradient with respect to the weights, [K, D], without the penalty's part.
func (m *products) gradient(ctx context.Context, miss, x *tensor.Tensor) (*tensor.Tensor, error) {
	out, err := m.reverse.RunContext(ctx, tensor.Batch{"miss": miss, "x": x})
	return out["y"], err
}

func (m *products) close() error {
	var errs []error
	for _, s := range []*ort.Session{m.forward, m.reverse} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(errs...)
}
