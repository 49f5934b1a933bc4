package orttest

import (
	"vicreg/models/graph"
	"vicreg/models/onnx"
	"vicreg/models/tensor"
)

// Pixels is a model that needs no reference to be checked, of the form in which
// backbones are exported: it takes uint8 [N, size, size, 3], and a picture's vector is
// its 3*size*size numbers times scale.
func Pixels(size int, scale float64) (*onnx.ModelProto, error) {
	g, err := graph.Build("pixels", func(g *graph.Graph) {
		x := g.Cast(g.Input("pixels", tensor.Uint8, graph.Batch, size, size, 3), tensor.Float32)
		g.Output("embedding", g.Reshape(g.Mul(x, g.Float(scale)), graph.Batch, 3*size*size))
	})
	if err != nil {
		return nil, err
	}
	return g.Model()
}
