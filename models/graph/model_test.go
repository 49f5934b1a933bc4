package graph_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/graph/reference"
	"vicreg/models/onnx"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
)

// small has a composite, a prefix, a constant, attributes and a dead node.
func small(g *graph.Graph) {
	x := g.Input("x", tensor.Float32, graph.Batch, 3)
	w := g.Input("w", tensor.Float32, 4, 3)
	g.Prefix("layer", func() {
		attrs := []graph.Attr{{Name: "power", Value: 2}, {Name: "axis", Value: 1}}
		y := g.Composite("Square", attrs, []value{x}, func(save func(string, value)) []value {
			twice := g.Mul(x, x)
			save("twice", twice)
			return []value{g.Add(twice, g.Float(0.5))}
		})[0]
		g.Output("y", g.Gemm(y, w, nil, graph.GemmAttr{TransB: true}))
	})
	g.Exp(x)
}

const smallText = `graph small
  in  x: float32[N,3]
  in  w: float32[4,3]
  layer/add_1: float32[N,3] = vicreg.Square(x; axis=1, power=2)
    | layer/mul_1: float32[N,3] = Mul(x, x)
    | layer/add_1: float32[N,3] = Add(layer/mul_1, f32(0.5))
  layer/gemm_1: float32[N,4] = Gemm(layer/add_1, w; alpha=1, transA=0, transB=1)
  exp_1: float32[N,3] = Exp(x)
  out y = layer/gemm_1
`

func TestGraphPrintsItself(t *testing.T) {
	if got := build(t, "small", small).String(); got != smallText {
		t.Errorf("got\n%s\nwant\n%s", got, smallText)
	}
}

// A blocked value shows its layout; an omitted input shows as _.
func TestPrintOfBlockedNodes(t *testing.T) {
	g := build(t, "blocked", func(g *graph.Graph) {
		g.Block = 8
		x := g.ToBlocked(inputs(g)(2, 8, 1, 1))
		g.Output("y", g.ToPlain(g.Affine(x, g.Full(2, 8), graph.Epilogue{Sum: x})))
	})
	want := `graph blocked
  in  in0: float32[2,8,1,1]
  reorderinput_1: float32[2,8,1,1]/nchwc = com.microsoft.nchwc.ReorderInput(in0)
  reshape_1: float32[8,1,1,1] = Reshape(full(2,[8]), i64[8,1,1,1])
  conv_1: float32[2,8,1,1]/nchwc = com.microsoft.nchwc.Conv(reorderinput_1, reshape_1, _, reorderinput_1; group=8, kernel_shape=[1 1], pads=[0 0 0 0], strides=[1 1])
  reorderoutput_1: float32[2,8,1,1] = com.microsoft.nchwc.ReorderOutput(conv_1; channels=8)
  out y = reorderoutput_1
`
	if got := g.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// What a composite saves for its gradient can be looked up.
func TestCompositeSaves(t *testing.T) {
	n := build(t, "small", small).Nodes[0]
	if n.Key() != "vicreg.Square" || n.Saved["twice"] != n.Body[0].Outputs[0] || n.Outputs[0].Node != n {
		t.Errorf("composite %+v", n)
	}
}

func TestModelReplacesCompositesAndDropsTheDead(t *testing.T) {
	m, err := build(t, "small", small).Model()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range m.Graph.Node {
		got = append(got, fmt.Sprintf("%s=%s(%s)", n.Output[0], n.OpType, strings.Join(n.Input, ",")))
	}
	want := []string{"layer/mul_1=Mul(x,x)", "layer/add_1=Add(layer/mul_1,f32(0.5))", "y=Gemm(layer/add_1,w)"}
	if !slices.Equal(got, want) {
		t.Errorf("nodes %q, want %q", got, want)
	}
	if onnx.Opset(m, "") != graph.Opset || len(m.OpsetImport) != 1 {
		t.Errorf("operator sets %v", m.OpsetImport)
	}
	if len(m.Graph.Initializer) != 1 || m.Graph.Initializer[0].Name != "f32(0.5)" {
		t.Errorf("constants %v", m.Graph.Initializer)
	}
}

// A constant that only dead nodes use is left out, a live one is kept.
func TestModelDropsDeadConstants(t *testing.T) {
	m, err := build(t, "dead", func(g *graph.Graph) {
		x := inputs(g)(2)
		g.Add(x, g.Float(7))
		g.Output("y", g.Add(x, g.Float(8)))
	}).Model()
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Graph.Initializer) != 1 || m.Graph.Initializer[0].Name != "f32(8)" || len(m.Graph.Node) != 1 {
		t.Errorf("constants %v, nodes %v", m.Graph.Initializer, m.Graph.Node)
	}
}

func TestModelIsTheSameEveryTime(t *testing.T) {
	for _, block := range []int{0, 8, 16} {
		var files [2][]byte
		for i := range files {
			g, _ := everyOp(t, block)
			var err error
			if files[i], err = g.Marshal(); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(files[0], files[1]) {
			t.Errorf("block %d: two builds differ", block)
		}
	}
}

// Every tensor that a node produces is declared once, with a type and a shape.
func TestModelDeclaresEveryTensor(t *testing.T) {
	for _, block := range []int{0, 8, 16} {
		g, _ := everyOp(t, block)
		m, err := g.Model()
		if err != nil {
			t.Fatal(err)
		}
		declared := map[string]int{}
		for _, v := range slices.Concat(m.Graph.ValueInfo, m.Graph.Output) {
			declared[v.Name]++
		}
		for _, n := range m.Graph.Node {
			for _, name := range n.Output {
				if declared[name] != 1 {
					t.Errorf("block %d: %s of node %s is declared %d times", block, name, n.Name, declared[name])
				}
				delete(declared, name)
			}
		}
		if len(declared) > 0 {
			t.Errorf("block %d: nothing makes %v", block, declared)
		}
	}
}

// An output may be an input, a constant, or a value that is already an output, and a value that is
// an output may have users.
func TestOutputsOfEveryKind(t *testing.T) {
	g := build(t, "outputs", func(g *graph.Graph) {
		x := inputs(g)(2)
		y := g.Relu(x)
		g.Output("state", x)
		g.Output("constant", g.Full(3, 2))
		g.Output("y", y)
		g.Output("again", y)
		g.Output("z", g.Neg(y))
	})
	m, err := g.Model()
	if err != nil {
		t.Fatal(err)
	}
	var copies []string
	for _, n := range m.Graph.Node {
		if n.OpType == "Identity" {
			copies = append(copies, n.Input[0]+">"+n.Output[0])
		}
	}
	if want := []string{"in0>state", "full(3,[2])>constant", "y>again"}; !slices.Equal(copies, want) {
		t.Errorf("copies %q, want %q", copies, want)
	}
	in := map[string][]float64{"in0": {-1, 2}}
	want := "map[again:[0 2] constant:[3 3] state:[-1 2] y:[0 2] z:[-0 -2]]"
	if got := fmt.Sprint(orttest.Run(t, g, in)); got != want {
		t.Errorf("runtime: %s, want %s", got, want)
	}
	out, err := reference.Run(g, in)
	if got := fmt.Sprint(out); err != nil || got != want {
		t.Errorf("reference: %s, %v, want %s", got, err, want)
	}
}

// A name used for two values is detected before a file is written.
func TestModelRefusesOneNameForTwo(t *testing.T) {
	_, err := build(t, "names", func(g *graph.Graph) {
		x := g.Input("y", tensor.Float32, 2)
		g.Output("y", g.Relu(x))
	}).Model()
	if err == nil || !strings.Contains(err.Error(), `write graph names`) || !strings.Contains(err.Error(), `"y" is already made`) {
		t.Errorf("got %v", err)
	}
}

// All users of a constant's name share one constant.
func TestConstantsAreShared(t *testing.T) {
	g := graph.New("constants")
	if tenth := g.Float(0.1); g.Float(0.1) != tenth || g.Float(0.1) == g.Float(0.2) || g.Ints(1, 2) == g.Ints(12) || g.Full(1, 2, 3) == g.Full(1, 23) {
		t.Error("constants are not told apart by their value")
	}
	if v := g.Lookup("i64[1,2]"); v == nil || v != g.Ints(1, 2) {
		t.Errorf("lookup gives %v", v)
	}
	if empty := g.Ints(); !slices.Equal(empty.Shape, []int{0}) {
		t.Errorf("an empty list has shape %v", empty.Shape)
	}
}

func build(t *testing.T, name string, f func(*graph.Graph)) *graph.Graph {
	t.Helper()
	g, err := graph.Build(name, f)
	if err != nil {
		t.Fatal(err)
	}
	return g
}
