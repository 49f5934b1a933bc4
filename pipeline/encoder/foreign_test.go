package encoder_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"vicreg/models/graph"
	"vicreg/models/nn"
	"vicreg/models/onnx"
	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
)

const (
	side  = 16 // of the images
	width = 8  // length of the vectors
)

// imagenet is the normalisation of torchvision's models.
var imagenet = encoder.Normalization{Mean: [3]float64{.485, .456, .406}, Std: [3]float64{.229, .224, .225}}

func how() encoder.Foreign {
	return encoder.Foreign{Name: "small.onnx", Preprocess: imaging.Preprocess{Resize: 18, Crop: side, Interpolation: "bilinear"},
		Normalization: imagenet, Layout: "nchw"}
}

// layers is a small network, x [N, 3, 16, 16] to [N, 8, 1, 1], of operators that are the same in
// every operator set.
func layers(g *graph.Graph, x *graph.Value) *graph.Value {
	weight := func(name string, shape ...int) *graph.Value {
		return g.Const(name, func() *tensor.Tensor {
			r, t := rand.New(rand.NewPCG(1, uint64(len(name)))), tensor.New(tensor.Float32, shape...)
			for i := range t.Float32() {
				t.Float32()[i] = (r.Float32() - 0.4) / 8
			}
			return t
		})
	}
	x = g.Relu(g.Conv(x, weight("stem", 16, 3, 4, 4), nil, graph.Square(4, 4, 0), 1))
	return g.Conv(x, weight("head.weight", width, 16, 4, 4), nil, graph.Square(4, 1, 0), 1)
}

func vector(g *graph.Graph, x *graph.Value) *graph.Value { return g.Reshape(layers(g, x), -1, width) }

// made returns a model as another tool would export it.
func made(t *testing.T, build func(g *graph.Graph)) *onnx.ModelProto {
	t.Helper()
	g, err := graph.Build("made", build)
	if err != nil {
		t.Fatal(err)
	}
	m, err := g.Model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// plainForeign has one input and one output.
func plainForeign(t *testing.T) *onnx.ModelProto {
	t.Helper()
	return made(t, func(g *graph.Graph) {
		g.Output("features", vector(g, g.Input("image", tensor.Float32, graph.Batch, 3, side, side)))
	})
}

// own returns the same network as vicreg would export it.
func own(t *testing.T, n encoder.Normalization) *encoder.Encoder {
	t.Helper()
	g, err := graph.Build("own", func(g *graph.Graph) {
		pixels := g.Input("pixels", tensor.Uint8, graph.Batch, side, side, 3)
		g.Output("embedding", vector(g, nn.Normalize(g, pixels, n.Mean, n.Std, tensor.Float32)))
	})
	if err != nil {
		t.Fatal(err)
	}
	return load(t, attach(t, g, encoder.Metadata{Preprocess: how().Preprocess, Normalization: n, Dim: width, Center: make([]float32, width)}))
}

func adapted(t *testing.T, m *onnx.ModelProto, f encoder.Foreign) *encoder.Encoder {
	t.Helper()
	if err := encoder.Adapt(orttest.Open(t), ort.Device{}, m, f); err != nil {
		t.Fatal(err)
	}
	return load(t, m)
}

// open makes all dimensions dynamic, as some exporters do.
func open(values []*onnx.ValueInfoProto) {
	for _, v := range values {
		for _, d := range v.Type.GetTensorType().Shape.Dim {
			d.Value = nil
		}
	}
}

// However the encoder is exported, the vectors equal those of our own graph.
func TestForeignEqualsOwn(t *testing.T) {
	half := func(g *graph.Graph) {
		x := g.Cast(g.Input("image", tensor.Float16, graph.Batch, 3, side, side), tensor.Float32)
		g.Output("features", g.Cast(vector(g, x), tensor.Float16))
	}
	for name, c := range map[string]struct {
		build  func(g *graph.Graph)
		change func(m *onnx.ModelProto, f *encoder.Foreign)
		within float64
	}{
		"plain": {},
		"channels last": {build: func(g *graph.Graph) {
			x := g.Input("image", tensor.Float32, graph.Batch, side, side, 3)
			g.Output("features", vector(g, g.Transpose(x, 0, 3, 1, 2)))
		}, change: func(_ *onnx.ModelProto, f *encoder.Foreign) { f.Layout = "nhwc" }},
		"pooled to [N, D, 1, 1]": {build: func(g *graph.Graph) {
			g.Output("features", layers(g, g.Input("image", tensor.Float32, graph.Batch, 3, side, side)))
		}},
		"float16":  {build: half, within: 5e-3},
		"0 to 255": {change: func(_ *onnx.ModelProto, f *encoder.Foreign) { f.Normalization = plain }},
		"-1 to 1": {change: func(_ *onnx.ModelProto, f *encoder.Foreign) {
			f.Mean, f.Std = [3]float64{.5, .5, .5}, [3]float64{.5, .5, .5}
		}},
		"names like ours": {build: func(g *graph.Graph) {
			x := g.Input("pixels", tensor.Float32, graph.Batch, 3, side, side)
			g.Output("embedding", vector(g, g.Add(x, g.Const("pixels.scale", func() *tensor.Tensor { return tensor.New(tensor.Float32, 1) }))))
		}},
		"a branch": {change: func(m *onnx.ModelProto, _ *encoder.Foreign) { branch(m) }},
		"old file": {change: func(m *onnx.ModelProto, _ *encoder.Foreign) {
			m.IrVersion, m.OpsetImport[0].Version = 3, 11
			for _, c := range m.Graph.Initializer {
				spec := tensor.Spec{Name: c.Name, Type: tensor.DType(c.DataType)}
				for _, d := range c.Dims {
					spec.Shape = append(spec.Shape, int(d))
				}
				m.Graph.Input = slices.Insert(m.Graph.Input, 0, onnx.ValueInfo(spec))
			}
		}},
		"nothing known of shapes": {change: func(m *onnx.ModelProto, _ *encoder.Foreign) {
			open(m.Graph.Input)
			open(m.Graph.Output)
			m.Graph.ValueInfo = nil
		}},
		"wrong about D": {change: func(m *onnx.ModelProto, _ *encoder.Foreign) {
			dim(m.Graph.Output[0], 1).DimValue = 1000
			m.Graph.ValueInfo = nil
		}},
		"two towers": {build: func(g *graph.Graph) {
			text := g.Input("text", tensor.Int64, graph.Batch, 4)
			image := g.Input("image", tensor.Float32, graph.Batch, 3, side, side)
			both := g.Const("both", func() *tensor.Tensor { return tensor.Of([]float32{1, 2, 3, 4}) })
			a, b := g.Mul(g.Cast(text, tensor.Float32), both), vector(g, image)
			g.Output("features", b)
			g.Output("text_features", a)
			g.Output("logits", g.Add(g.ReduceMean(a, true, 1), g.ReduceMean(b, true, 1)))
		}, change: func(_ *onnx.ModelProto, f *encoder.Foreign) { f.Output, f.Input = "features", "image" }},
	} {
		t.Run(name, func(t *testing.T) {
			if c.build == nil {
				c.build = func(g *graph.Graph) {
					g.Output("features", vector(g, g.Input("image", tensor.Float32, graph.Batch, 3, side, side)))
				}
			}
			m, f := made(t, c.build), how()
			if c.change != nil {
				c.change(m, &f)
			}
			compare(t, adapted(t, m, f), own(t, f.Normalization), max(c.within, 1e-5))
			if md := read(t, m); md.Preprocess != f.Preprocess || md.Normalization != f.Normalization || md.Dim != width ||
				!slices.Equal(md.Center, make([]float32, width)) || md.Training.Model != "small.onnx" {
				t.Errorf("metadata %+v", md)
			}
		})
	}
}

// branch passes the output through an If with a constant used only in its branches.
func branch(m *onnx.ModelProto) {
	g := m.Graph
	inner := &onnx.GraphProto{Name: "inner", Output: []*onnx.ValueInfoProto{{Name: "chosen", Type: g.Output[0].Type}},
		Node: []*onnx.NodeProto{{OpType: "Mul", Input: []string{"features", "one"}, Output: []string{"chosen"}}}}
	outer := proto.CloneOf(inner)
	outer.Output[0].Name, outer.Node[0].Output[0] = "other", "other"
	g.Initializer = append(g.Initializer, onnx.TensorOf(tensor.Of([]float32{1}), "one"), onnx.TensorOf(tensor.Of([]bool{true}), "yes"))
	g.Node = append(g.Node, &onnx.NodeProto{OpType: "If", Input: []string{"yes"}, Output: []string{"branched"}, Attribute: []*onnx.AttributeProto{
		{Name: "then_branch", Type: onnx.AttributeProto_GRAPH, G: inner}, {Name: "else_branch", Type: onnx.AttributeProto_GRAPH, G: outer}}})
	g.Output[0].Name = "branched"
}

func read(t *testing.T, m *onnx.ModelProto) *encoder.Metadata {
	t.Helper()
	md, err := encoder.ReadMetadata(onnx.Metadata(m))
	if err != nil {
		t.Fatal(err)
	}
	return md
}

// compare checks that both encoders give equal vectors for some images, at any batch size.
func compare(t *testing.T, got, want *encoder.Encoder, within float64) {
	t.Helper()
	const n = 5
	all, one := pixels(want, n), 3*side*side
	expected, err := want.Encode(t.Context(), all, n)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{n, 1, 2} {
		for at := 0; at+size <= n; at += size {
			y, err := got.Encode(t.Context(), all[at*one:(at+size)*one], size)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range y {
				if w := expected[at*width+i]; math.Abs(float64(v-w)) > within*(1+math.Abs(float64(w))) {
					t.Fatalf("batch of %d at %d: number %d is %v, want %v", size, at, i, v, w)
				}
			}
		}
	}
}

// The adapted model is well-formed, with every tensor declared.
func TestAdaptedIsWellFormed(t *testing.T) {
	m := plainForeign(t)
	adapted(t, m, how())
	if err := onnx.Check(m); err != nil {
		t.Error(err)
	}
	if m.Graph.Input[0].Name != "pixels" || m.Graph.Output[0].Name != "embedding" {
		t.Errorf("%v to %v", m.Graph.Input, m.Graph.Output)
	}
}

// The fingerprint of a foreign encoder covers the full path from image to vector.
func TestForeignFingerprint(t *testing.T) {
	of := func(change func(f *encoder.Foreign)) string {
		f := how()
		change(&f)
		return adapted(t, plainForeign(t), f).Fingerprint()
	}
	want := of(func(f *encoder.Foreign) { f.Name = "another.onnx" })
	if got := of(func(*encoder.Foreign) {}); got != want {
		t.Errorf("the name counts: %s and %s", got, want)
	}
	seen := map[string]bool{want: true}
	for what, change := range map[string]func(f *encoder.Foreign){
		"mean":          func(f *encoder.Foreign) { f.Mean[1] = .457 },
		"std":           func(f *encoder.Foreign) { f.Std[2] = .226 },
		"resize":        func(f *encoder.Foreign) { f.Resize = 20 },
		"interpolation": func(f *encoder.Foreign) { f.Interpolation = "bicubic" },
	} {
		if got := of(change); seen[got] {
			t.Errorf("another %s makes no difference", what)
		} else {
			seen[got] = true
		}
	}
}

func TestAdaptRefuses(t *testing.T) {
	build := func(shape ...int) func(g *graph.Graph) {
		return func(g *graph.Graph) {
			x := g.Input("image", tensor.Float32, shape...)
			g.Output("features", g.ReduceMean(x, false, 2, 3))
		}
	}
	image := func(g *graph.Graph) *graph.Value { return g.Input("image", tensor.Float32, graph.Batch, 3, side, side) }
	for _, c := range []struct {
		build  func(g *graph.Graph)
		change func(m *onnx.ModelProto, f *encoder.Foreign)
		want   string
	}{
		{nil, func(_ *onnx.ModelProto, f *encoder.Foreign) { f.Layout = "hwc" }, `layout "hwc": want nchw or nhwc`},
		{nil, func(_ *onnx.ModelProto, f *encoder.Foreign) { f.Mean[0] = 123.675 }, "mean 123.675: want the mean of pixels scaled to 0–1; divide"},
		{nil, func(_ *onnx.ModelProto, f *encoder.Foreign) { f.Std[0] = 0 }, "std 0: want 0.0001 to 1"},
		{nil, func(_ *onnx.ModelProto, f *encoder.Foreign) { f.Std[0] = math.NaN() }, "std NaN: want"},
		{nil, func(_ *onnx.ModelProto, f *encoder.Foreign) { f.Interpolation = "lanczos" }, "lanczos"},
		{nil, func(m *onnx.ModelProto, _ *encoder.Foreign) { onnx.SetMetadata(m, "vicreg.format_version", "1") }, "it is a vicreg model, which"},
		{nil, func(m *onnx.ModelProto, _ *encoder.Foreign) { m.OpsetImport[0].Version = 10 }, "its opset version is 10: export it with opset 11 or later"},
		{nil, func(m *onnx.ModelProto, _ *encoder.Foreign) { m.ProtoReflect().SetUnknown([]byte{0xca, 0x01, 0}) }, "it defines model-local functions"},
		{nil, func(m *onnx.ModelProto, _ *encoder.Foreign) {
			m.Graph.Initializer[0].DataLocation = onnx.TensorProto_EXTERNAL
		}, "its weights are in another file"},
		{nil, func(_ *onnx.ModelProto, f *encoder.Foreign) { f.Input = "pixel_values" }, `no input is named "pixel_values"; available: image`},
		{nil, func(_ *onnx.ModelProto, f *encoder.Foreign) { f.Output = "pooled" }, `no output is named "pooled"; available: features`},
		{nil, func(_ *onnx.ModelProto, f *encoder.Foreign) { f.Crop = 20 }, `input "image" is float32[-1 3 16 16], images of 16 x 16 pixels, but --crop is 20`},
		{nil, func(_ *onnx.ModelProto, f *encoder.Foreign) { f.Layout = "nhwc" }, "which is 16 channels with --layout nhwc: want 3"},
		{nil, func(m *onnx.ModelProto, _ *encoder.Foreign) { m.Graph.Input[0].Type.GetTensorType().Shape = nil }, `input value "image": no shape`},
		{build(graph.Batch, 1, side, side), nil, "which is 1 channels with --layout nchw: want 3"},
		{build(4, 3, side, side), nil, "a fixed batch of 4: export the model with a dynamic batch axis"},
		{func(g *graph.Graph) { g.Output("features", g.Input("image", tensor.Float32, graph.Batch, 768)) }, nil,
			`input "image" is float32[-1 768], want four dimensions`},
		{func(g *graph.Graph) {
			x := g.Input("image", tensor.Uint8, graph.Batch, 3, side, side)
			g.Output("features", g.ReduceMean(g.Cast(x, tensor.Float32), false, 2, 3))
		}, nil, `input "image" is uint8[-1 3 16 16], want float32 or float16`},
		{func(g *graph.Graph) {
			x, y := image(g), g.Input("mask", tensor.Float32, graph.Batch, 1, side, side)
			g.Output("features", g.ReduceMean(g.Mul(x, y), false, 2, 3))
		}, nil, `output "features" depends on 2 inputs, image, mask: want one that depends only on images`},
		{func(g *graph.Graph) {
			x := image(g)
			g.Output("tokens", g.Reshape(x, -1, 12, 64))
			g.Output("pooled", g.ReduceMean(x, false, 2, 3))
		}, nil, "the model has 2 outputs: choose one with --output (available: tokens, pooled)"},
		{func(g *graph.Graph) {
			x := image(g)
			g.Output("tokens", g.Reshape(x, -1, 12, 64))
			g.Output("pooled", g.ReduceMean(x, false, 2, 3))
		}, func(_ *onnx.ModelProto, f *encoder.Foreign) { f.Output = "tokens" },
			`output "tokens" is float32[1 12 64] for a picture, want a vector: export the model with its pooling, or choose an output with --output (available: tokens, pooled)`},
		{func(g *graph.Graph) { g.Output("features", g.Cast(g.ReduceMean(image(g), false, 2, 3), tensor.Int64)) }, nil,
			`output "features" is int64[1 3] for a picture, want a vector`},
		{func(g *graph.Graph) { // a batch of 1 is fixed inside the graph
			g.Output("features", g.Reshape(image(g), -1, 3*side*side))
		}, func(m *onnx.ModelProto, _ *encoder.Foreign) {
			m.Graph.Initializer[0] = onnx.TensorOf(tensor.Of([]int64{1, 3 * side * side}), m.Graph.Initializer[0].Name)
		}, "it takes one image at a time: export the model with a dynamic batch axis"},
		{func(g *graph.Graph) { g.Output("features", g.Reshape(image(g), -1, 3*side*side)) },
			func(m *onnx.ModelProto, _ *encoder.Foreign) {
				m.Graph.Initializer[0] = onnx.TensorOf(tensor.Of([]int64{1, -1}), m.Graph.Initializer[0].Name)
			}, "it takes one image at a time: export the model with a dynamic batch axis"},
		{func(g *graph.Graph) {
			y := g.ReduceMean(image(g), false, 2, 3)
			g.Output("features", g.Sub(y, g.ReduceMean(y, true, 0)))
		}, nil, "depends on the rest of the batch: export the model in evaluation mode"},
		{func(g *graph.Graph) { g.Output("features", g.Sqrt(g.Neg(g.Abs(g.ReduceMean(image(g), false, 2, 3))))) }, nil, "is not finite"},
		{nil, func(m *onnx.ModelProto, _ *encoder.Foreign) { find(m, "Relu").OpType = "Nonsense" }, "load onnx model: "},
	} {
		m, f := plainForeign(t), how()
		if c.build != nil {
			m = made(t, c.build)
		}
		if c.change != nil {
			c.change(m, &f)
		}
		if err := encoder.Adapt(orttest.Open(t), ort.Device{}, m, f); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

// The model is tried on its target device, not on another.
func TestForeignIsTriedOnItsDevice(t *testing.T) {
	none := ort.Device{Kind: tensor.CUDA, Index: 999}
	if err := encoder.Adapt(orttest.Open(t), none, plainForeign(t), how()); err == nil {
		t.Error("a model was tried elsewhere than on a device that is not there")
	}
}

// PyTorch stores the weights in a file beside the model.
func TestForeignWeightsInAnotherFile(t *testing.T) {
	dir, m := t.TempDir(), plainForeign(t)
	var data []byte
	for _, c := range m.Graph.Initializer {
		if c.DataType != int32(tensor.Float32) {
			continue
		}
		c.ExternalData = []*onnx.StringStringEntryProto{{Key: "location", Value: "model.onnx.data"},
			{Key: "offset", Value: fmt.Sprint(len(data))}, {Key: "length", Value: fmt.Sprint(len(c.RawData))}}
		data = append(data, c.RawData...)
		c.DataLocation, c.RawData = onnx.TensorProto_EXTERNAL, nil
	}
	path := filepath.Join(dir, "model.onnx")
	put := func(model, weights []byte) {
		for name, b := range map[string][]byte{"model.onnx": model, "model.onnx.data": weights} {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	put(marshal(t, m), data)
	e, err := encoder.OpenForeign(orttest.Open(t), path, how(), ort.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	compare(t, e, own(t, imagenet), 1e-5)

	refused := func(want string) {
		t.Helper()
		if _, err := encoder.OpenForeign(orttest.Open(t), path, how(), ort.Options{}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	put(marshal(t, m), data[:len(data)-1])
	refused("the file belongs to another model or is truncated")
	put(marshal(t, m), nil)
	os.Remove(filepath.Join(dir, "model.onnx.data"))
	refused("no such file")
	m.Graph.Initializer[0].ExternalData[0].Value = "../model.onnx.data"
	put(marshal(t, m), data)
	refused("which is not next to the model")
	put([]byte("no model"), nil)
	refused("not an ONNX model")
}
