package models

import (
	"cmp"

	"vicreg/models/graph"
	"vicreg/models/optim"
	"vicreg/models/tensor"
)

// Config determines the graphs of a run.
type Config struct {
	Backbone  ResNet
	Expander  Expander
	Loss      Loss
	Optimizer optim.Config
	Batch     int           // images per view in a step, N; with a Group, those of this process
	Size      int           // side of a view in pixels
	Mean, Std [3]float64    // of the pixels, on a scale of 0..1
	Compute   tensor.DType  // of activations; 0 means float32. Parameters, statistics and loss are always float32
	Device    tensor.Device // where the graphs will run; CUDA rules out Block, and needs CustomOps for bfloat16
	CustomOps bool          // CUDA only: see graph.Graph
	TF32      bool          // CUDA only: see graph.Graph
	Apart     bool          // trains on the views one after the other even where they could share a batch
	SumsApart bool          // CUDA only: see graph.Graph
	Group     graph.Group   // the processes that train together; training only
	SyncNorm  bool          // these processes normalise by the statistics of all their batches; CPU only
	Block     int           // channel block of the NCHWc kernels; 0 for the portable graph
	Standard  bool          // standard operators only, for tools other than ONNX Runtime; requires Block 0
}

// build runs f on a new graph configured by c. Combinations that no kernel supports fail.
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
		if c.SyncNorm {
			g.Normalized = c.Group
		}
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

	Pixels    = "pixels"    // input of an exported backbone, uint8 [N, S, S, 3]
	Embedding = "embedding" // output of an exported backbone, float32 [N, D]
)

// Suffixes added to the name of a parameter or state tensor.
const (
	gradSuffix = ".grad" // its gradient
	nextSuffix = ".next" // its value after the step
)
