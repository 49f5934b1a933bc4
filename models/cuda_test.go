package models

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/graph/reference"
	"vicreg/models/optim"
	"vicreg/models/tensor"
)

// anyFloat are the types of the first input, float16 and float32, for which ONNX Runtime's CUDA
// provider registers most kernels that the graphs use; the rest have more or fewer. Determined by
// creating sessions with the provider.
var anyFloat = []tensor.DType{tensor.Float16, tensor.Float32}

var kernels = map[string][]tensor.DType{
	"Add": anyFloat, "Sub": anyFloat, "Mul": anyFloat, "Div": anyFloat, "Max": {tensor.Float32}, "Min": {tensor.Float32}, "Sum": anyFloat,
	"Neg": anyFloat, "Sqrt": {tensor.Float32}, "Reciprocal": {tensor.Float32}, "Pow": {tensor.Float32}, "Relu": anyFloat,
	"Greater": anyFloat, "Where": {tensor.Bool}, "And": {tensor.Bool}, "IsNaN": {tensor.Float32}, "IsInf": {tensor.Float32},
	"Cast": append([]tensor.DType{tensor.Uint8, tensor.Bool}, anyFloat...), "Identity": anyFloat,
	"MatMul": {tensor.Float32}, "Gemm": anyFloat, "com.microsoft.FusedMatMul": anyFloat,
	// In half precision these would accumulate in it.
	"ReduceSum": {tensor.Float32}, "ReduceMean": {tensor.Float32}, "ReduceSumSquare": {tensor.Float32},
	"Reshape": append([]tensor.DType{tensor.Int64}, anyFloat...), "Transpose": anyFloat, "Expand": anyFloat, "Slice": anyFloat, "Concat": anyFloat, "Split": anyFloat,
	"Gather": anyFloat, "Pad": anyFloat, "ScatterElements": anyFloat,
	"com.microsoft.BiasAdd": anyFloat, "com.microsoft.GatedAdd": {tensor.Float32},
	"com.ms.internal.nhwc.Conv": anyFloat, "com.ms.internal.nhwc.BatchNormalization": anyFloat,
	"com.ms.internal.nhwc.MaxPool": anyFloat, "com.ms.internal.nhwc.GlobalAveragePool": anyFloat,
	"BatchNormalization": anyFloat, // of the expander
}

// Every node of a step has a kernel on CUDA, in one type throughout where the kernel has one type,
// and none does what breaks the capture of a step as a CUDA graph: computed shapes, or lists of
// tensors that the runtime uploads.
func TestStepHasKernelsOnCUDA(t *testing.T) {
	for _, c := range []Config{
		netConfig(t, "resnet18", "cifar", 16, 32, 64), netConfig(t, "resnet18", "imagenet", 16, 64, 6), netConfig(t, "resnet50", "imagenet", 16, 64, 8),
	} {
		for _, compute := range anyFloat {
			for _, name := range []string{"lars", "sgd", "adamw"} {
				c.Device, c.Compute = tensor.CUDA, compute
				c.Optimizer, _ = optim.Default(name)
				a, err := Step(c)
				if err != nil {
					t.Fatal(err)
				}
				for _, n := range inner(a.Graph.Nodes) {
					if reason := unfit(n); reason != "" && n.Domain != graph.DomainComposite {
						t.Errorf("resnet%d %s %v %s: %s (%s) %s", c.Backbone.Depth, c.Backbone.Stem, compute, name, n.Name, n.Key(), reason)
					}
				}
			}
		}
	}
}

// sized are the inputs that the runtime requires on the host, by operator.
var sized = map[string]int{"Reshape": 1, "Expand": 1, "Slice": 1, "Pad": 1, "ReduceSum": 1, "ReduceMean": 1, "ReduceSumSquare": 1}

func unfit(n *graph.Node) string {
	types, known := kernels[n.Key()]
	switch {
	case !known:
		return "is not known to have a kernel"
	case !slices.Contains(types, n.Inputs[0].Type):
		return fmt.Sprintf("has no kernel for %v", n.Inputs[0].Type)
	case n.Op == "Concat" && (len(n.Inputs) > 32 || !slices.Equal(n.Inputs[0].Shape, n.Inputs[len(n.Inputs)-1].Shape)):
		return "joins tensors that differ, or too many"
	case n.Op == "Split" && len(n.Outputs) > 32:
		return "has too many parts"
	}
	if first, ok := sized[n.Op]; ok {
		for _, v := range n.Inputs[first:] {
			if v.Data == nil {
				return "computes a shape"
			}
		}
	}
	if n.Op == "BatchNormalization" || n.Op == "Conv" {
		for _, v := range n.Inputs {
			if v.Type != n.Inputs[0].Type {
				return fmt.Sprintf("mixes %v and %v", n.Inputs[0].Type, v.Type)
			}
		}
	}
	return ""
}

// The other graphs of a model build for CUDA too, and unsupported combinations are reported.
func TestGraphsForCUDA(t *testing.T) {
	c := netConfig(t, "resnet18", "cifar", 16, 16, 8)
	c.Device, c.Compute = tensor.CUDA, tensor.Float16
	custom, bfloat16 := c, c
	custom.CustomOps, bfloat16.CustomOps, bfloat16.Compute = true, true, tensor.BFloat16
	for _, c := range []Config{c, custom, bfloat16} {
		for name, build := range map[string]func(Config) (*Artifact, error){"training": Training, "optimizer": Optimizer, "eval": Eval} {
			a, err := build(c)
			if err == nil {
				_, err = a.Graph.Model()
			}
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			for _, o := range a.Graph.Outputs {
				if o.Value.Type != tensor.Float32 {
					t.Errorf("%s: output %s is %v", name, o.Name, o.Value.Type)
				}
			}
		}
	}
	for want, change := range map[string]func(*Config){
		"no kernels for blocks":        func(c *Config) { c.Block, c.Compute = 16, 0 },
		"not of standard operators":    func(c *Config) { c.Standard = true },
		"bfloat16 on CUDA needs the c": func(c *Config) { c.Compute = tensor.BFloat16 },
	} {
		bad := c
		change(&bad)
		if _, err := Step(bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("block %d, standard %v, %v: %v, want %q", bad.Block, bad.Standard, bad.Compute, err, want)
		}
	}
}

// families are the two kinds of graphs for CUDA.
var families = map[string]bool{"custom": true, "portable": false}

// A run can move between devices with its state: both families of a step have the same state
// tensors.
func TestStateIsOneOnAllDevices(t *testing.T) {
	for _, name := range []string{"lars", "sgd", "adamw"} {
		c := netConfig(t, "resnet18", "cifar", 16, 32, 8)
		c.Optimizer, _ = optim.Default(name)
		host, err := Step(c)
		if err != nil {
			t.Fatal(err)
		}
		want := shapesOf(host)
		for family, custom := range families {
			for _, compute := range []tensor.DType{tensor.Float16, tensor.Float32, tensor.BFloat16} {
				if compute == tensor.BFloat16 && !custom {
					continue
				}
				c.Device, c.Compute, c.CustomOps = tensor.CUDA, compute, custom
				a, err := Step(c)
				if err != nil {
					t.Fatal(err)
				}
				if got := shapesOf(a); !maps.Equal(got, want) {
					t.Errorf("%s, %s, %v: %d tensors of state, %d on the host", name, family, compute, len(got), len(want))
				}
			}
		}
	}
}

func shapesOf(a *Artifact) map[string]string {
	shapes := map[string]string{}
	for _, v := range a.State {
		shapes[v.In] = fmt.Sprint(v.Out, v.Shape)
	}
	return shapes
}

// Both families update a model's variables alike, and as the host's graph does.
func TestOptimizersOnCUDA(t *testing.T) {
	for _, name := range []string{"lars", "sgd", "adamw"} {
		c := netConfig(t, "resnet18", "cifar", 4, 32, 8)
		c.Optimizer, _ = optim.Default(name)
		host, err := Optimizer(c)
		if err != nil {
			t.Fatal(err)
		}
		in, rng := map[string][]float64{}, rand.New(rand.NewPCG(1, 2))
		for _, v := range host.Graph.Inputs {
			for range v.Elements() {
				in[v.Name] = append(in[v.Name], rng.Float64())
			}
		}
		want, err := reference.Run(host.Graph, in)
		if err != nil {
			t.Fatal(err)
		}
		for family, custom := range families {
			c.Device, c.CustomOps = tensor.CUDA, custom
			a, err := Optimizer(c)
			if err != nil {
				t.Fatal(err)
			}
			got, err := reference.Run(a.Graph, in)
			if err != nil {
				t.Fatal(err)
			}
			for key, w := range want {
				if len(got[key]) != len(w) {
					t.Errorf("%s, %s: %s is %d numbers, want %d", name, family, key, len(got[key]), len(w))
				} else if e := distance(got[key], 1, w); !(e <= 1e-6) {
					t.Errorf("%s, %s: %s is off by %.1e", name, family, key, e)
				}
			}
		}
	}
}

// Exports, and the graph that evaluates during a run, contain none of our own operators.
func TestExportsHaveNoCustomOperators(t *testing.T) {
	c := netConfig(t, "resnet18", "cifar", 8, 16, 8)
	a, err := Step(c)
	if err != nil {
		t.Fatal(err)
	}
	export, err := Export(c, a.InitialState(1))
	if err != nil {
		t.Fatal(err)
	}
	eval, err := Eval(c)
	if err != nil {
		t.Fatal(err)
	}
	for name, g := range map[string]*graph.Graph{"export": export, "eval": eval.Graph} {
		m, err := g.Model()
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range m.Graph.Node {
			if n.Domain == graph.DomainCUDA {
				t.Errorf("%s has %s", name, n.OpType)
			}
		}
	}
}
