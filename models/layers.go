package models

import (
	"cmp"

	"vicreg/models/grad"
	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// Layers are the different convolutions of a step, each with how many of its kind one
// view passes through: what to measure the forms of a graph for CUDA with.
func Layers(c Config) (layers []grad.Layer, count []int, err error) {
	c.Device, c.Block = tensor.CUDA, 0
	a, err := Training(c)
	if err != nil {
		return nil, nil, err
	}
	number := map[grad.Layer]int{}
	for _, n := range a.Graph.Nodes {
		if n.Key() != graph.DomainComposite+".ConvNorm" {
			continue
		}
		x, w := n.Inputs[0].Shape, n.Inputs[1].Shape
		l := grad.Layer{N: x[0], C: x[1], H: x[2], W: x[3], M: w[0], Window: n.Window(),
			Residual: len(n.Inputs) > 4, Relu: n.Attr("relu") == 1, Compute: cmp.Or(c.Compute, tensor.Float32), Forms: c.Forms}
		i, ok := number[l]
		if !ok {
			i = len(layers)
			number[l] = i
			layers, count = append(layers, l), append(count, 0)
		}
		count[i]++
	}
	for i := range count {
		count[i] /= 2 // views
	}
	return layers, count, nil
}
