package encoder_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"vicreg/models/onnx"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
)

var pre = imaging.Preprocess{Resize: 18, Crop: 16, Interpolation: "bicubic"}

func fingerprint(t *testing.T, m *onnx.ModelProto, pre imaging.Preprocess) string {
	t.Helper()
	f, err := encoder.Fingerprint(m, pre)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Indexes on disk are bound to these digits: the definition must not change by accident.
func TestFingerprintIsFixed(t *testing.T) {
	const want = "a6e300e0bfa4a665692360b7f94652eb"
	if got := fingerprint(t, averager(t, 8), imaging.Preprocess{Crop: 8, Interpolation: "bilinear"}); got != want {
		t.Errorf("fingerprint %s, want %s", got, want)
	}
}

func TestFingerprintIgnoresTheFile(t *testing.T) {
	want := fingerprint(t, resnet(t, 1), pre)
	for name, change := range map[string]func(*onnx.ModelProto){
		"nothing": func(*onnx.ModelProto) {},
		"producer and documentation": func(m *onnx.ModelProto) {
			m.ProducerName, m.ProducerVersion, m.DocString, m.Graph.DocString, m.ModelVersion = "x", "y", "z", "w", 3
			m.Graph.Node[0].DocString = "first"
		},
		"metadata": func(m *onnx.ModelProto) {
			slices.Reverse(m.MetadataProps)
			onnx.SetMetadata(m, "note", "holiday photos")
			onnx.SetMetadata(m, "vicreg.training", "{}")
		},
		"names":               rename,
		"the other domain":    func(m *onnx.ModelProto) { m.OpsetImport[0].Domain, m.Graph.Node[0].Domain = "ai.onnx", "ai.onnx" },
		"order of nodes":      swapBranches,
		"order of attributes": func(m *onnx.ModelProto) { slices.Reverse(find(m, "Conv").Attribute) },
		"order of weights":    func(m *onnx.ModelProto) { slices.Reverse(m.Graph.Initializer) },
		"typed elements": func(m *onnx.ModelProto) {
			for _, p := range m.Graph.Initializer {
				x, err := onnx.TensorFrom(p)
				if f, is := x.Data.([]float32); is && err == nil {
					p.RawData, p.FloatData = nil, f
				}
			}
		},
		"a node nobody needs": func(m *onnx.ModelProto) {
			m.Graph.Node = append(m.Graph.Node, &onnx.NodeProto{OpType: "Relu", Input: m.Graph.Node[0].Output, Output: []string{"unused"}})
		},
		"value info": func(m *onnx.ModelProto) { m.Graph.ValueInfo = nil },
	} {
		m := resnet(t, 1)
		change(m)
		again, err := onnx.Unmarshal(marshal(t, m))
		if err != nil {
			t.Fatal(err)
		}
		if got := fingerprint(t, again, pre); got != want {
			t.Errorf("%s changes the fingerprint", name)
		}
	}
}

func TestFingerprintTellsModelsApart(t *testing.T) {
	seen := map[string]string{fingerprint(t, resnet(t, 1), pre): "the model itself"}
	add := func(name, f string) {
		if other, ok := seen[f]; ok {
			t.Errorf("%s: the fingerprint is that of %s", name, other)
		}
		seen[f] = name
	}
	for name, change := range map[string]func(*onnx.ModelProto){
		"one bit of a weight": func(m *onnx.ModelProto) { m.Graph.Initializer[len(m.Graph.Initializer)/2].RawData[0] ^= 1 },
		"an attribute":        func(m *onnx.ModelProto) { ints(find(m, "Conv"), "pads")[0]++ },
		"another attribute":   func(m *onnx.ModelProto) { ints(find(m, "Conv"), "strides")[0]++ },
		"an operator":         func(m *onnx.ModelProto) { find(m, "Relu").OpType = "Sigmoid" },
		"a domain":            func(m *onnx.ModelProto) { find(m, "Relu").Domain = "com.example" },
		"the operator set":    func(m *onnx.ModelProto) { m.OpsetImport[0].Version++ },
		"a connection": func(m *onnx.ModelProto) {
			for _, n := range m.Graph.Node {
				if n.OpType == "Add" {
					n.Input[1] = n.Input[0]
					return
				}
			}
		},
		"two inputs": func(m *onnx.ModelProto) { slices.Reverse(find(m, "Add").Input) },
		"the output": func(m *onnx.ModelProto) { dim(m.Graph.Output[0], 1).DimValue++ },
		"the input":  func(m *onnx.ModelProto) { dim(m.Graph.Input[0], 1).DimValue++ },
		"a shape": func(m *onnx.ModelProto) {
			for _, p := range m.Graph.Initializer {
				if len(p.Dims) == 1 {
					p.Dims = append(p.Dims, 1)
					return
				}
			}
		},
	} {
		m := resnet(t, 1)
		change(m)
		add(name, fingerprint(t, m, pre))
	}
	add("other weights", fingerprint(t, resnet(t, 2), pre))
	for _, p := range []imaging.Preprocess{
		{Resize: 19, Crop: 16, Interpolation: "bicubic"},
		{Resize: 18, Crop: 17, Interpolation: "bicubic"},
		{Resize: 18, Crop: 16, Interpolation: "bilinear"},
		{Resize: 18, Crop: 16, Interpolation: "bicubic", Conversion: leveled(0, 4095)},
		{Resize: 18, Crop: 16, Interpolation: "bicubic", Conversion: leveled(1, 4095)},
		{Resize: 18, Crop: 16, Interpolation: "bicubic", Conversion: imaging.Conversion{Levels: imaging.Levels{Auto: true}}},
		{Resize: 18, Crop: 16, Interpolation: "bicubic", Conversion: imaging.Conversion{Background: imaging.Background{Set: true}}},
		{Resize: 18, Crop: 16, Interpolation: "bicubic", Conversion: imaging.Conversion{Background: imaging.Background{Set: true, B: 1}}},
		{Crop: 16, Interpolation: "bicubic"},
		{Crop: 16, Interpolation: "bicubic", Fit: imaging.FitSquash},
		{Crop: 16, Interpolation: "bicubic", Fit: imaging.FitPad, Fill: imaging.Background{Set: true}},
		{Crop: 16, Interpolation: "bicubic", Fit: imaging.FitPad, Fill: imaging.Background{Set: true, G: 1}},
	} {
		add("other preprocessing", fingerprint(t, resnet(t, 1), p))
	}
}

func leveled(low, high uint16) imaging.Conversion {
	return imaging.Conversion{Levels: imaging.Levels{Low: low, High: high}}
}

func TestFingerprintRefuses(t *testing.T) {
	for want, change := range map[string]func(*onnx.ModelProto){
		"used before it is made": func(m *onnx.ModelProto) { slices.Reverse(m.Graph.Node) },
		"in another file":        func(m *onnx.ModelProto) { m.Graph.Initializer[0].DataLocation = onnx.TensorProto_EXTERNAL },
	} {
		m := resnet(t, 1)
		change(m)
		if _, err := encoder.Fingerprint(m, pre); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// A subgraph uses values of the enclosing graph: the same body over another outer value is a
// different model.
func TestFingerprintFollowsSubgraphs(t *testing.T) {
	build := func(outer string) *onnx.ModelProto {
		m := averager(t, 8)
		body := &onnx.GraphProto{Name: "body",
			Node:   []*onnx.NodeProto{{OpType: "Abs", Input: []string{outer}, Output: []string{"inner"}}},
			Output: []*onnx.ValueInfoProto{{Name: "inner"}}}
		choice := &onnx.NodeProto{OpType: "If", Input: []string{"pixels"}, Output: []string{"chosen"},
			Attribute: []*onnx.AttributeProto{{Name: "then_branch", Type: onnx.AttributeProto_GRAPH, G: body}}}
		m.Graph.Node = append(m.Graph.Node, choice)
		m.Graph.Output[0].Name = "chosen"
		return m
	}
	a := fingerprint(t, build("pixels"), pre)
	if b := fingerprint(t, build("pixels"), pre); a != b {
		t.Error("not deterministic")
	}
	if b := fingerprint(t, build("embedding"), pre); a == b {
		t.Error("the outer value makes no difference")
	}
}

func TestMetadataIsDeterministic(t *testing.T) {
	a, b := resnet(t, 1), resnet(t, 1)
	if !bytes.Equal(marshal(t, a), marshal(t, b)) {
		t.Error("equal models give different files")
	}
	m, err := encoder.ReadMetadata(onnx.Metadata(a))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Attach(a); err != nil || !bytes.Equal(marshal(t, a), marshal(t, b)) {
		t.Errorf("%v, reading and attaching again changes the file", err)
	}
	if m.Preprocess != pre || m.Normalization.Std[1] != .25 {
		t.Errorf("read %+v", m)
	}
	m.Center[0] /= 0
	if err := m.Attach(a); err == nil {
		t.Error("a center that is not finite was attached")
	}
}

// A file with settings unknown to older programs has a version that they refuse; all other files
// are unchanged.
func TestMetadataOfAConversion(t *testing.T) {
	for _, c := range []struct {
		conversion       imaging.Conversion
		version, written string
	}{
		{imaging.Conversion{}, "1", `{"resize":18,"crop":16,"interpolation":"bicubic"}`},
		{leveled(10, 4095), "2", `{"resize":18,"crop":16,"interpolation":"bicubic","levels":"10:4095"}`},
		{imaging.Conversion{Levels: imaging.Levels{Auto: true}}, "2", `{"resize":18,"crop":16,"interpolation":"bicubic","levels":"auto"}`},
		{imaging.Conversion{Background: imaging.Background{Set: true, R: 255}}, "2", `{"resize":18,"crop":16,"interpolation":"bicubic","background":"#ff0000"}`},
	} {
		model := resnet(t, 1)
		m, err := encoder.ReadMetadata(onnx.Metadata(model))
		if err != nil {
			t.Fatal(err)
		}
		m.Preprocess.Conversion = c.conversion
		if err := m.Attach(model); err != nil {
			t.Fatal(err)
		}
		kv := onnx.Metadata(model)
		if kv["vicreg.format_version"] != c.version || kv["vicreg.preprocessing"] != c.written {
			t.Errorf("version %s, %s", kv["vicreg.format_version"], kv["vicreg.preprocessing"])
		}
		if again, err := encoder.ReadMetadata(kv); err != nil || again.Preprocess != m.Preprocess {
			t.Errorf("read again as %+v, %v", again, err)
		}
	}
}

func TestMetadataOfAFit(t *testing.T) {
	grey := imaging.Conversion{Background: imaging.Background{Set: true, R: 9, G: 9, B: 9}}
	for _, c := range []struct {
		fit              imaging.Fit
		conversion       imaging.Conversion
		version, written string
	}{
		{imaging.FitCrop, grey, "2", `{"resize":18,"crop":16,"interpolation":"bicubic","background":"#090909"}`},
		{imaging.FitSquash, grey, "3", `{"resize":0,"crop":16,"interpolation":"bicubic","background":"#090909","fit":"squash"}`},
		{imaging.FitPad, grey, "3", `{"resize":0,"crop":16,"interpolation":"bicubic","background":"#090909","fit":"pad","fill":"#090909"}`},
		// The mean is .5, .4, .3.
		{imaging.FitPad, imaging.Conversion{}, "3", `{"resize":0,"crop":16,"interpolation":"bicubic","fit":"pad","fill":"#80664d"}`},
	} {
		model := resnet(t, 1)
		m, err := encoder.ReadMetadata(onnx.Metadata(model))
		if err != nil {
			t.Fatal(err)
		}
		m.Preprocess.Conversion = c.conversion
		m.Preprocess = encoder.Fitted(m.Preprocess, c.fit, m.Normalization)
		if err := m.Attach(model); err != nil {
			t.Fatal(err)
		}
		kv := onnx.Metadata(model)
		if kv["vicreg.format_version"] != c.version || kv["vicreg.preprocessing"] != c.written {
			t.Errorf("version %s, %s", kv["vicreg.format_version"], kv["vicreg.preprocessing"])
		}
		if again, err := encoder.ReadMetadata(kv); err != nil || again.Preprocess != m.Preprocess {
			t.Errorf("read again as %+v, %v", again, err)
		}
		if crop := encoder.Fitted(m.Preprocess, imaging.FitCrop, m.Normalization); crop.Validate() != nil || crop.Fill.Set {
			t.Errorf("back to crop: %+v", crop)
		}
	}
}

func find(m *onnx.ModelProto, op string) *onnx.NodeProto {
	i := slices.IndexFunc(m.Graph.Node, func(n *onnx.NodeProto) bool { return n.OpType == op })
	return m.Graph.Node[i]
}

func ints(n *onnx.NodeProto, name string) []int64 {
	i := slices.IndexFunc(n.Attribute, func(a *onnx.AttributeProto) bool { return a.Name == name })
	return n.Attribute[i].Ints
}

func dim(v *onnx.ValueInfoProto, axis int) *onnx.TensorShapeProto_Dimension_DimValue {
	return v.Type.GetTensorType().Shape.Dim[axis].Value.(*onnx.TensorShapeProto_Dimension_DimValue)
}

// rename renames every tensor and node, and the graph.
func rename(m *onnx.ModelProto) {
	g := m.Graph
	g.Name = "other"
	each := func(names []string) {
		for i, n := range names {
			if n != "" {
				names[i] = "r/" + n
			}
		}
	}
	for _, n := range g.Node {
		n.Name = "r/" + n.Name
		each(n.Input)
		each(n.Output)
	}
	for _, p := range g.Initializer {
		p.Name = "r/" + p.Name
	}
	for _, v := range slices.Concat(g.Input, g.Output, g.ValueInfo) {
		v.Name = "r/" + v.Name
	}
}

// swapBranches swaps the first two adjacent nodes of which the second does not depend on the first.
func swapBranches(m *onnx.ModelProto) {
	nodes := m.Graph.Node
	for i := range len(nodes) - 1 {
		needs := slices.ContainsFunc(nodes[i+1].Input, func(in string) bool { return slices.Contains(nodes[i].Output, in) })
		if !needs {
			nodes[i], nodes[i+1] = nodes[i+1], nodes[i]
			return
		}
	}
	panic("the graph is a chain")
}
