package graph_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// Every row fails with an error that names the operator and the reason.
var errorRows = []struct {
	op    string
	words string
	build func(g *graph.Graph, in maker)
}{
	{"Add", "shapes [2 3] and [4] do not broadcast", func(g *graph.Graph, in maker) { g.Add(in(2, 3), in(4)) }},
	{"Add", "types float32 and int64 differ", func(g *graph.Graph, in maker) { g.Add(in(2), g.Ints(1, 2)) }},
	{"Add", "layouts", func(g *graph.Graph, in maker) { g.Add(g.ToBlocked(in(1, 8, 2, 2)), in(1, 8, 2, 2)) }},
	{"Mul", "nchwc values of shapes", func(g *graph.Graph, in maker) {
		g.Mul(g.ToBlocked(in(1, 8, 2, 2)), g.ToBlocked(in(2, 8, 2, 2)))
	}},
	{"And", "operands are float32", func(g *graph.Graph, in maker) { g.And(in(2), in(2)) }},
	{"Not", "operand is float32", func(g *graph.Graph, in maker) { g.Not(in(2)) }},
	{"Where", "condition of float32", func(g *graph.Graph, in maker) { g.Where(in(2), in(2), in(2)) }},
	{"Where", "layouts", func(g *graph.Graph, in maker) {
		x := g.ToBlocked(in(1, 8, 2, 2))
		g.Where(g.Greater(in(1, 8, 2, 2), g.Float(0)), x, x)
	}},
	{"MatMul", "inner dimensions", func(g *graph.Graph, in maker) { g.MatMul(in(2, 3), in(2, 3)) }},
	{"FusedMatMul", "inner dimensions", func(g *graph.Graph, in maker) { g.FusedMatMul(in(2, 3), in(2, 3), true, true, 1) }},
	{"Gemm", "not matrices", func(g *graph.Graph, in maker) { g.Gemm(in(1, 2, 3), in(3, 4), nil, graph.GemmAttr{}) }},
	{"Gemm", "[2 2 4] does not broadcast", func(g *graph.Graph, in maker) { g.Gemm(in(2, 3), in(3, 4), in(2, 2, 4), graph.GemmAttr{}) }},
	{"ReduceSum", "no axes", func(g *graph.Graph, in maker) { g.ReduceSum(in(2, 3), false) }},
	{"ReduceMean", "nchwc", func(g *graph.Graph, in maker) { g.ReduceMean(g.ToBlocked(in(1, 8, 2, 2)), false, 0) }},
	{"Reshape", "cannot reshape [2 3] to [4]", func(g *graph.Graph, in maker) { g.Reshape(in(2, 3), 4) }},
	{"Reshape", "nchwc", func(g *graph.Graph, in maker) { g.Reshape(g.ToBlocked(in(1, 8, 2, 2)), 32) }},
	{"Reshape", "not blocked", func(g *graph.Graph, in maker) { g.View(in(1, 8, 2, 2)) }},
	{"Reshape", "does not hold", func(g *graph.Graph, in maker) { g.Unview(in(1, 1, 4, 8), 1, 8, 2, 3) }},
	{"Transpose", "not a permutation", func(g *graph.Graph, in maker) { g.Transpose(in(2, 3), 0, 0) }},
	{"Transpose", "nchwc", func(g *graph.Graph, in maker) { g.Transpose(g.ToBlocked(in(1, 8, 2, 2)), 1, 0, 2, 3) }},
	{"Expand", "cannot expand [2] to [3]", func(g *graph.Graph, in maker) { g.Expand(in(2), 3) }},
	{"Expand", "size is open", func(g *graph.Graph, in maker) { g.Expand(in(1, 2), graph.Batch, 2) }},
	{"Slice", "range 1:4 of axis 0", func(g *graph.Graph, in maker) { g.Slice(in(3), 0, 1, 4) }},
	{"Slice", "cannot flip axes [1]", func(g *graph.Graph, in maker) { g.Flip(in(3), 1) }},
	{"Concat", "int64", func(g *graph.Graph, in maker) { g.Concat(0, in(3), g.Ints(1)) }},
	{"Gather", "axis 2", func(g *graph.Graph, in maker) { g.Gather(in(3, 3), g.Ints(1), 2) }},
	{"Gather", "index is float32", func(g *graph.Graph, in maker) { g.Gather(in(3, 3), in(2), 0) }},
	{"ScatterElements", "updates [3]", func(g *graph.Graph, in maker) { g.ScatterAdd(in(3), g.Ints(1), in(3)) }},
	{"ScatterElements", "index float32", func(g *graph.Graph, in maker) { g.ScatterAdd(in(3), in(3), in(3)) }},
	{"Pad", "do not fit [2 3]", func(g *graph.Graph, in maker) { g.Pad(in(2, 3), []int{1}, []int{1}) }},
	{"Pad", "behind axis 2 of shape [2 3]", func(g *graph.Graph, in maker) { g.ZerosBehind(in(2, 3), 2, 1) }},
	{"Pad", "[0 -1]", func(g *graph.Graph, in maker) { g.Pad(in(2, 3), []int{0, -1}, []int{0, 0}) }},
	{"Conv", "channels", func(g *graph.Graph, in maker) { g.Conv(in(1, 3, 4, 4), in(2, 4, 3, 3), nil, graph.Square(3, 1, 1), 1) }},
	{"Conv", "bias [3]", func(g *graph.Graph, in maker) {
		g.Conv(in(1, 3, 4, 4), in(2, 3, 3, 3), in(3), graph.Square(3, 1, 1), 1)
	}},
	{"Conv", "nchwc", func(g *graph.Graph, in maker) {
		g.Conv(g.ToBlocked(in(1, 8, 4, 4)), in(2, 8, 3, 3), nil, graph.Square(3, 1, 1), 1)
	}},
	{"ConvTranspose", "output padding", func(g *graph.Graph, in maker) {
		g.ConvTranspose(in(1, 3, 4, 4), in(3, 2, 3, 3), graph.Square(3, 2, 1), [2]int{2, 0})
	}},
	{"MaxPool", "smaller", func(g *graph.Graph, in maker) { g.MaxPool(in(1, 1, 1, 1), graph.Square(2, 1, 0)) }},
	{"BatchNormalization", "does not fit input", func(g *graph.Graph, in maker) {
		g.BatchNormalization(in(1, 3, 2, 2), in(3), in(2), in(3), in(3), 0)
	}},
	{"BatchNormalization", "no channels", func(g *graph.Graph, in maker) { g.BatchNormalization(in(3), in(3), in(3), in(3), in(3), 0) }},
	{"ReorderInput", "no channel blocks of 8", func(g *graph.Graph, in maker) { g.ToBlocked(in(1, 12, 2, 2)) }},
	{"LanesLast", "not 3 parts of whole blocks of 8", func(g *graph.Graph, in maker) { g.LanesLast(in(3, 12), 3) }},
	{"LanesFirst", "not 0 parts", func(g *graph.Graph, in maker) { g.LanesFirst(in(8), 0) }},
	{"SwapRows", "not 6 parts of whole blocks of 8", func(g *graph.Graph, in maker) { g.SwapRows(in(6, 12), 2, 3) }},
	{"GlobalAveragePool", "is plain", func(g *graph.Graph, in maker) { g.BlockedMean(in(1, 8, 2, 2)) }},
	{"ConvTranspose", "dilation [2 2]", func(g *graph.Graph, in maker) {
		win := graph.Window{KH: 2, KW: 2, Stride: 1, Dilation: [2]int{2, 2}}
		g.ConvTranspose(in(1, 3, 4, 4), in(3, 2, 2, 2), win, [2]int{})
	}},
	{"BlockWeights", "no blocks of 8", func(g *graph.Graph, in maker) { g.BlockWeights(in(12, 8, 3, 3)) }},
	{"BlockedConv", "is plain", func(g *graph.Graph, in maker) {
		g.BlockedConv(in(1, 8, 2, 2), g.BlockWeights(in(8, 8, 1, 1)), []int{8, 8, 1, 1}, graph.Square(1, 1, 0), 1, graph.Epilogue{})
	}},
	{"BlockedConv", "sum plain", func(g *graph.Graph, in maker) {
		g.Affine(g.ToBlocked(in(1, 8, 2, 2)), in(8), graph.Epilogue{Sum: in(1, 8, 2, 2)})
	}},
	{"BlockedConv", "bias [4]", func(g *graph.Graph, in maker) {
		g.Affine(g.ToBlocked(in(1, 8, 2, 2)), in(8), graph.Epilogue{Bias: in(4)})
	}},
	{"Dots", "no tensors", func(g *graph.Graph, in maker) { g.Dots(nil, nil) }},
	{"Dots", "2 tensors and 1", func(g *graph.Graph, in maker) { g.Dots([]value{in(2), in(2)}, []value{in(2)}) }},
	{"Dots", "float32[3] for a variable [2]", func(g *graph.Graph, in maker) { g.Dots([]value{in(2)}, []value{in(3)}) }},
	{"Momentum", "float32[2] for 1 variables", func(g *graph.Graph, in maker) {
		one := []value{in(3)}
		g.Momentum(graph.MomentumStep{Decay: in(1), Rate: in(1), LR: in(2)}, one, one, one)
	}},
	{"Adam", "float32[2] for 2 variables", func(g *graph.Graph, in maker) {
		two := []value{in(3), in(3)}
		g.Adam(graph.AdamStep{Decay: in(2), Rate: in(1), Correct: in(2), Inv: in(1)}, two, two, two, two)
	}},
	{"Blend", "weights float32[2 1] for 1 sources of 2", func(g *graph.Graph, in maker) { g.Blend(in(2, 1), []value{in(2), in(2)}) }},
	{"Blend", "4 sources", func(g *graph.Graph, in maker) {
		one := []value{in(3)}
		g.Blend(in(4, 1), one, one, one, one)
	}},
	{"Sums", "float32[2] for a variable [2]", func(g *graph.Graph, in maker) {
		g.Sums([]value{g.Cast(in(2), tensor.Float16)}, []value{in(2)})
	}},
	{"AllGather", "no rows of rank 2 of 2 in shape [3]", func(g *graph.Graph, in maker) {
		g.AllGather(graph.Group{Rank: 2, Size: 2}, in(3))
	}},
	{"AllGather", "no rows of rank 0 of 1 in shape []", func(g *graph.Graph, in maker) {
		g.AllGather(graph.Group{Size: 1}, in())
	}},
	{"AllReduce", "no tensors", func(g *graph.Graph, in maker) { g.AllReduce(graph.Group{Size: 2}) }},
	{"AllReduce", "no standard operator", func(g *graph.Graph, in maker) { g.Standard = true; g.AllReduce(graph.Group{Size: 2}, in(3)) }},
	{"AllReduce", "is float16: processes exchange float32", func(g *graph.Graph, in maker) {
		g.AllReduce(graph.Group{Size: 2}, in(3), g.Cast(in(3), tensor.Float16))
	}},
	{"Halves", "no tensors", func(g *graph.Graph, in maker) { g.Halves(nil, tensor.Float16) }},
	{"Input", "name exists", func(g *graph.Graph, in maker) { in(2); g.Input("in0", tensor.Float32, 2) }},
	{"Const", "an input has that name", func(g *graph.Graph, in maker) { in(2); g.Const("in0", nil) }},
	{"Output", "an output of that name", func(g *graph.Graph, in maker) { g.Output("y", in(2)); g.Output("y", in(2)) }},
	{"Output", "nchwc", func(g *graph.Graph, in maker) { g.Output("y", g.ToBlocked(in(1, 8, 2, 2))) }},
	{"Layer", "which it does not compute", func(g *graph.Graph, in maker) {
		x := g.Relu(in(2))
		g.Composite("Layer", nil, []value{x}, func(func(string, value)) []value { return []value{x} })
	}},
}

func TestWrongOperatorsAreRefused(t *testing.T) {
	for _, row := range errorRows {
		_, err := graph.Build("wrong", func(g *graph.Graph) {
			g.Block = 8
			g.Prefix("part", func() { row.build(g, inputs(g)) })
		})
		var e *graph.Error
		if !errors.As(err, &e) || e.Op != row.op || !strings.Contains(e.Reason, row.words) {
			t.Errorf("%s: got %v, want %q", row.op, err, row.words)
			continue
		}
		if !strings.HasPrefix(e.Caller, "error_test.go:") {
			t.Errorf("%s: called from %s", row.op, e.Caller)
		}
	}
}

// The message gives the line, the operator, the node and the reason.
func TestErrorNamesOperatorNodeAndLine(t *testing.T) {
	var line int
	g, err := graph.Build("wrong", func(g *graph.Graph) {
		x := inputs(g)(2, 3)
		g.Prefix("layer1", func() {
			_, _, line, _ = runtime.Caller(0)
			g.MatMul(x, x)
		})
	})
	want := fmt.Sprintf("error_test.go:%d: cannot build MatMul (node layer1/matmul): inner dimensions of [2 3] and [2 3] differ (3 and 2)", line+1)
	if g != nil || err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

// Nodes record their caller, for errors that come later.
func TestNodesRememberTheirCaller(t *testing.T) {
	g := graph.New("callers")
	x := inputs(g)(2, 3)
	_, _, line, _ := runtime.Caller(0)
	y := g.Relu(x)
	if want := fmt.Sprintf("error_test.go:%d", line+1); y.Node.Caller != want {
		t.Errorf("called from %s, want %s", y.Node.Caller, want)
	}
}

// Build recovers only its own errors.
func TestBuildPassesOtherPanicsOn(t *testing.T) {
	defer func() {
		if r := recover(); r != "other" {
			t.Errorf("recovered %v", r)
		}
	}()
	graph.Build("panics", func(*graph.Graph) { panic("other") })
}

// inputs declares float32 inputs in0, in1, ...
func inputs(g *graph.Graph) maker {
	return func(shape ...int) value {
		return g.Input(fmt.Sprintf("in%d", len(g.Inputs)), tensor.Float32, shape...)
	}
}
