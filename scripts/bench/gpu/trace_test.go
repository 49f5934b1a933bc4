package main

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
)

// events is a profile of three runs, the first of which is warm-up.
const events = `[
{"cat":"Session","name":"session_initialization","ts":1,"dur":100,"args":{}},
{"cat":"Node","name":"view1/conv_1_kernel_time","ts":210,"dur":9000,"args":{"op_name":"Conv","provider":"CUDAExecutionProvider"}},
{"cat":"Session","name":"model_run","ts":200,"dur":10000,"args":{}},
{"cat":"Node","name":"view1/conv_1_kernel_time","ts":20010,"dur":2000,"args":{"op_name":"Conv","provider":"CUDAExecutionProvider","output_size":"64","mem_bytes_in_use":"5000",
 "input_type_shape":[{"float16":[4,3,8,8]},{"float16":[16,3,3,3]}],"output_type_shape":[{"float16":[4,16,8,8]}]}},
{"cat":"Node","name":"Memcpy_token_1_kernel_time","ts":22010,"dur":500,"args":{"op_name":"MemcpyToHost","provider":"CUDAExecutionProvider","output_size":"96"}},
{"cat":"Session","name":"model_run","ts":20000,"dur":3000,"args":{}},
{"cat":"Node","name":"grad/view1/conv_1/reducesum_1_kernel_time","ts":30010,"dur":1000,"args":{"op_name":"ReduceSum","provider":"CPUExecutionProvider"}},
{"cat":"Session","name":"model_run","ts":30000,"dur":5000,"args":{}}
]`

func readEvents(t *testing.T, warm int) *trace {
	t.Helper()
	var all []event
	if err := json.Unmarshal([]byte(events), &all); err != nil {
		t.Fatal(err)
	}
	got, err := readTrace(all, warm)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestReadTrace(t *testing.T) {
	got := readEvents(t, 1)
	if got.runs != 2 || got.ms != 4 || len(got.nodes) != 3 || got.total() != 1.75 {
		t.Errorf("%d runs of %v ms, %d nodes of %v ms", got.runs, got.ms, len(got.nodes), got.total())
	}
	conv := got.nodes[0]
	if conv.Name != "view1/conv_1" || conv.Provider != "CUDA" || conv.Written != 64 || conv.InUse != 5000 {
		t.Errorf("%+v", conv)
	}
	if got := byShape(conv); got != "Conv f16[4x3x8x8] f16[16x3x3x3] -> f16[4x16x8x8]" {
		t.Error(got)
	}
	if all := readEvents(t, 0); len(all.nodes) != 4 {
		t.Errorf("%d nodes with the first run", len(all.nodes))
	}
	if _, err := readTrace(nil, 0); err == nil {
		t.Error("a profile without a run was read")
	}
}

func TestRows(t *testing.T) {
	var got []string
	for _, r := range readEvents(t, 1).rows(byOperator) {
		got = append(got, r.key)
	}
	if want := []string{"Conv", "ReduceSum (CPU)", "MemcpyToHost"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	var parts []string
	for _, r := range readEvents(t, 1).rows(byPart) {
		parts = append(parts, r.key)
	}
	if got := strings.Join(parts, ", "); got != "forward, backward of conv, added by the runtime" {
		t.Error(got)
	}
}

// The number of operations follows from the shapes of a node's tensors, whatever their layout.
func TestFlops(t *testing.T) {
	f := func(dims ...int) shape { return shape{"float", dims} }
	for _, c := range []struct {
		op      string
		in      []shape
		out     shape
		flops   float64
		reading string
	}{
		{"Conv", []shape{f(4, 3, 8, 8), f(16, 3, 3, 3)}, f(4, 16, 8, 8), 2 * 4 * 16 * 64 * 27, "a convolution"},
		{"ConvTranspose", []shape{f(4, 16, 8, 8), f(16, 3, 3, 3)}, f(4, 3, 8, 8), 2 * 4 * 16 * 64 * 27, "its gradient"},
		{"ConvWeightGrad", []shape{f(4, 8, 8, 16), f(4, 8, 8, 3)}, f(16, 3, 3, 3), 2 * 4 * 16 * 64 * 27, "the other one, channels last"},
		{"Gemm", []shape{f(5, 7), f(5, 11)}, f(7, 11), 2 * 5 * 7 * 11, "a product, the first transposed"},
		{"FusedMatMul", []shape{f(3, 5, 7), f(3, 7, 11)}, f(3, 5, 11), 2 * 3 * 5 * 7 * 11, "a batch of products"},
		{"MatMul", []shape{f(3, 5, 7), f(7, 11)}, f(3, 5, 11), 2 * 3 * 5 * 7 * 11, "a batch by one matrix"},
		{"Add", []shape{f(2), f(2)}, f(2), 0, "no product"},
	} {
		n := node{Op: c.op, In: c.in, Out: []shape{c.out}}
		if got := n.flops(); math.Abs(got-c.flops) > 1e-6*c.flops {
			t.Errorf("%s: %v operations, want %v", c.reading, got, c.flops)
		}
	}
	if n := (node{In: []shape{{"float16", []int{3}}}, Out: []shape{{"uint8", []int{5}}, f()}}); n.moved() != 6+5+4 {
		t.Errorf("%v bytes", n.moved())
	}
}

func TestWindows(t *testing.T) {
	a, b := []float64{1, 3, 5, 5}, []float64{2, 2, 5, 6}
	if got := windows("a", a, "b", b, 2); math.Abs(got-0.1) > 1e-9 {
		t.Error(got)
	}
	if got := windows("a", []float64{1, 1, 1}, "b", []float64{1, math.NaN(), 1}, 1); !math.IsNaN(got) {
		t.Errorf("a NaN counts as %v", got)
	}
}
