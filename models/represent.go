package models

import (
	"vicreg/models/graph"
	"vicreg/models/nn"
	"vicreg/models/tensor"
)

// Represent is the backbone in evaluation mode with its parameters and running statistics as
// inputs: Pixels uint8 [N, S, S, 3] to Embedding float32 [N, D], with N symbolic. An exported
// backbone, folded and frozen, must agree with it.
func Represent(c Config) (*Artifact, error) {
	a := &Artifact{}
	var err error
	a.Graph, err = graph.Build("representation", func(g *graph.Graph) {
		s := nn.NewScope(g, nn.Eval)
		pixels := g.Input(Pixels, tensor.Uint8, graph.Batch, c.Size, c.Size, 3)
		x := nn.Normalize(g, pixels, c.Mean, c.Std, tensor.Float32)
		g.Output(Embedding, c.Backbone.Forward(s.Sub("backbone"), x))
		a.Params = s.Params()
	})
	return a, err
}
