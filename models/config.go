package models

import (
	"cmp"

	"vicreg/models/graph"
	"vicreg/models/optim"
	"vicreg/models/tensor"
)

// Config describes everything that decides the graphs of a run.
type Config struct {
	Backbone  ResNet
	Expander  Expander
	Loss      Loss
	Optimizer optim.Config
	Batch     int           // images per view of one step, N; with Group, those of this process
	Size      int           // side of a view in pixels
	Mean, Std [3]float64    // of the pixels, in 0..1
	Compute   tensor.DType  // of activations; 0 for float32. Parameters, statistics and loss are float32
	Device    tensor.Device // that the graphs will run on; CUDA knows no Block, and bfloat16 only with CustomOps
	CustomOps bool          // of a graph for CUDA: see graph.Graph
	TF32      bool          // of a graph for CUDA: see graph.Graph
	Apart     bool          // the two views pass one after the other where one batch could be both, in training
	SumsApart bool          // of a graph for CUDA: see graph.Graph
	Group     graph.Group   // the processes that train together, in training
	Block     int           // channel block of the NCHWc kernels; 0 for the portable graph
	Standard  bool          // standard operators only, for tools other than ONNX Runtime; Block must be 0
}

// build runs f on a new graph of the kind that c asks for.
func (c Config) build(name string, f func(*graph.Graph)) (*graph.Graph, error) {
	return graph.Build(name, func(g *graph.Graph) {
		if c.compute() != tensor.Float32 && c.Block > 0 {
			g.Fail("graph", "the NCHWc kernels compute in float32, not in %v", c.compute())
		}
		if c.Standard && c.Block > 0 {
			g.Fail("graph", "blocks of %d channels are no standard operators", c.Block)
		}
		if c.Device == tensor.CUDA && (c.Block > 0 || c.Standard) {
			g.Fail("graph", "CUDA has no kernels for blocks of channels, and its graphs are not of standard operators")
		}
		if c.Device == tensor.CUDA && !c.CustomOps && c.compute() == tensor.BFloat16 {
			g.Fail("graph", "%v on CUDA needs the custom operators: the runtime's own kernels lack it", tensor.BFloat16)
		}
		g.Block, g.Standard, g.Device, g.CustomOps, g.TF32 = c.Block, c.Standard, c.Device, c.CustomOps, c.TF32
		g.SumsApart = c.SumsApart
		f(g)
		if c.Device == tensor.CUDA && c.CustomOps && c.compute().Half() {
			g.HalvesTogether(c.compute())
		}
	})
}

func (c Config) compute() tensor.DType { return cmp.Or(c.Compute, tensor.Float32) }

// Names of graph inputs and outputs that are not parameters.
const (
	View1     = "view1" // uint8 [N, S, S, 3]
	View2     = "view2"
	Rate      = "lr"         // float32 [1]
	LossScale = "loss_scale" // float32 [1]; gradients are divided by it

	Representation1 = "representation1" // outputs of eval_model, float32 [N, D]
	Embedding1      = "embedding1"
	Embedding2      = "embedding2"

	Pixels    = "pixels"    // of an exported backbone, uint8 [N, S, S, 3]
	Embedding = "embedding" // of an exported backbone, float32 [N, D]
)

// Suffixes of the names that belong to a parameter or state tensor.
const (
	gradSuffix = ".grad" // its gradient
	nextSuffix = ".next" // its value after the step
)
