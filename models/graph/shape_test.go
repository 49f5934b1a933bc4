package graph_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"vicreg/models/graph"
)

type (
	shape = []int
	win   = graph.Window
)

// A row has the resulting shape, or part of the error message.
var shapeRows = []struct {
	name string
	get  func() (shape, error)
	want shape
	err  string
}{
	{"broadcast same", broadcast(shape{2, 3}, shape{2, 3}), shape{2, 3}, ""},
	{"broadcast both ways", broadcast(shape{4, 1, 3}, shape{2, 1}), shape{4, 2, 3}, ""},
	{"broadcast scalar", broadcast(shape{}, shape{2}), shape{2}, ""},
	{"broadcast open", broadcast(shape{graph.Batch, 3}, shape{1, 3}), shape{graph.Batch, 3}, ""},
	{"broadcast misfit", broadcast(shape{2, 3}, shape{2}), nil, "shapes [2 3] and [2] do not broadcast"},
	{"broadcast open misfit", broadcast(shape{graph.Batch, 3}, shape{5, 3}), nil, "do not broadcast"},

	{"matmul", matmul(shape{2, 3}, shape{3, 4}, false, false), shape{2, 4}, ""},
	{"matmul transA", matmul(shape{3, 2}, shape{3, 4}, true, false), shape{2, 4}, ""},
	{"matmul transB", matmul(shape{2, 3}, shape{4, 3}, false, true), shape{2, 4}, ""},
	{"matmul batched", matmul(shape{5, 1, 2, 3}, shape{6, 3, 4}, false, false), shape{5, 6, 2, 4}, ""},
	{"matmul inner", matmul(shape{2, 3}, shape{4, 3}, false, false), nil, "inner dimensions of [2 3] and [4 3] differ (3 and 4)"},
	{"matmul vector", matmul(shape{3}, shape{3, 4}, false, false), nil, "not matrices"},
	{"matmul batches", matmul(shape{2, 2, 3}, shape{5, 3, 4}, false, false), nil, "do not broadcast"},

	{"reduce keep", reduce(shape{2, 3, 4}, true, 1), shape{2, 1, 4}, ""},
	{"reduce drop", reduce(shape{2, 3, 4}, false, 2, 0), shape{3}, ""},
	{"reduce all", reduce(shape{2, 3}, false, 0, 1), shape{}, ""},
	{"reduce none", reduce(shape{2, 3}, true), nil, "no axes"},
	{"reduce outside", reduce(shape{2, 3}, true, 2), nil, "axes [2] are out of range for shape [2 3]"},
	{"reduce from the end", reduce(shape{2, 3}, true, -1), nil, "out of range"},
	{"reduce twice", reduce(shape{2, 3}, true, 1, 1), nil, "repeat"},

	{"reshape", reshape(shape{2, 6}, 3, 4), shape{3, 4}, ""},
	{"reshape open", reshape(shape{2, 6}, 4, -1), shape{4, 3}, ""},
	{"reshape to scalar", reshape(shape{1, 1}), shape{}, ""},
	{"reshape symbolic", reshape(shape{graph.Batch, 3, 4}, graph.Batch, 12), shape{graph.Batch, 12}, ""},
	{"reshape misfit", reshape(shape{2, 6}, 5, -1), nil, "cannot reshape [2 6] to [5 -1]"},
	{"reshape count", reshape(shape{2, 6}, 13), nil, "cannot reshape"},
	{"reshape two open", reshape(shape{2, 6}, -1, -1), nil, "more than one open dimension"},
	{"reshape symbolic misfit", reshape(shape{graph.Batch, 12}, graph.Batch, 6), nil, "cannot reshape"},
	{"reshape symbolic closed", reshape(shape{graph.Batch, 12}, 2, 6), nil, "cannot reshape"},

	{"transpose", transpose(shape{2, 3, 4}, 1, 2, 0), shape{3, 4, 2}, ""},
	{"transpose repeat", transpose(shape{2, 3}, 1, 1), nil, "[1 1] is not a permutation of the axes of [2 3]"},
	{"transpose length", transpose(shape{2, 3}, 0), nil, "does not fit"},
	{"transpose outside", transpose(shape{2, 3}, 0, 2), nil, "not a permutation"},

	{"conv same", conv(shape{2, 3, 8, 6}, shape{5, 3, 3, 3}, graph.Square(3, 1, 1), 1), shape{2, 5, 8, 6}, ""},
	{"conv stride even", conv(shape{2, 3, 8, 6}, shape{5, 3, 3, 3}, graph.Square(3, 2, 1), 1), shape{2, 5, 4, 3}, ""},
	{"conv stride odd", conv(shape{2, 3, 7, 5}, shape{5, 3, 3, 3}, graph.Square(3, 2, 1), 1), shape{2, 5, 4, 3}, ""},
	{"conv k1s2", conv(shape{2, 3, 7, 8}, shape{5, 3, 1, 1}, graph.Square(1, 2, 0), 1), shape{2, 5, 4, 4}, ""},
	{"conv k7s2p3", conv(shape{1, 3, 13, 12}, shape{5, 3, 7, 7}, graph.Square(7, 2, 3), 1), shape{1, 5, 7, 6}, ""},
	{"conv uneven", conv(shape{1, 3, 6, 7}, shape{5, 3, 2, 3}, win{KH: 2, KW: 3, Stride: 2, Pads: [4]int{1, 0, 2, 1}}, 1), shape{1, 5, 4, 3}, ""},
	{"conv dilated", conv(shape{1, 3, 9, 10}, shape{5, 3, 3, 2}, win{KH: 3, KW: 2, Stride: 2, Pads: [4]int{1, 0, 0, 0}, Dilation: [2]int{2, 4}}, 1), shape{1, 5, 3, 3}, ""},
	{"conv dilation", conv(shape{1, 3, 9, 10}, shape{5, 3, 3, 3}, win{KH: 3, KW: 3, Stride: 1, Dilation: [2]int{-1, 1}}, 1), nil, "no window"},
	{"conv groups", conv(shape{1, 4, 5, 5}, shape{6, 2, 3, 3}, graph.Square(3, 1, 0), 2), shape{1, 6, 3, 3}, ""},
	{"conv open batch", conv(shape{graph.Batch, 3, 5, 5}, shape{6, 3, 3, 3}, graph.Square(3, 1, 0), 1), shape{graph.Batch, 6, 3, 3}, ""},
	{"conv rank", conv(shape{3, 5, 5}, shape{6, 3, 3, 3}, graph.Square(3, 1, 0), 1), nil, "four axes"},
	{"conv channels", conv(shape{1, 4, 5, 5}, shape{6, 3, 3, 3}, graph.Square(3, 1, 0), 1), nil, "input [1 4 5 5] has 4 channels, weight [6 3 3 3] wants 3 in 1 groups"},
	{"conv group count", conv(shape{1, 4, 5, 5}, shape{5, 2, 3, 3}, graph.Square(3, 1, 0), 2), nil, "groups"},
	{"conv no group", conv(shape{1, 0, 5, 5}, shape{5, 2, 3, 3}, graph.Square(3, 1, 0), 0), nil, "groups"},
	{"conv kernel", conv(shape{1, 3, 5, 5}, shape{6, 3, 3, 3}, graph.Square(5, 1, 0), 1), nil, "not 5 x 5"},
	{"conv small", conv(shape{1, 3, 2, 9}, shape{6, 3, 3, 3}, graph.Square(3, 2, 0), 1), nil, "smaller than the 3 x 3 window"},
	{"conv pads", conv(shape{1, 3, 5, 5}, shape{6, 3, 3, 3}, graph.Square(3, 1, -1), 1), nil, "no window"},
	{"conv stride", conv(shape{1, 3, 5, 5}, shape{6, 3, 3, 3}, graph.Square(3, 0, 0), 1), nil, "no window"},

	{"pool", pool(shape{2, 3, 8, 7}, graph.Square(3, 2, 1)), shape{2, 3, 4, 4}, ""},
	{"pool small", pool(shape{2, 3, 1, 1}, graph.Square(2, 2, 0)), nil, "smaller"},
	{"pool rank", pool(shape{2, 3}, graph.Square(2, 2, 0)), nil, "four axes"},

	{"transposed conv", convT(shape{2, 5, 4, 3}, shape{5, 3, 3, 3}, graph.Square(3, 2, 1), 1, 0), shape{2, 3, 8, 5}, ""},
	{"transposed conv k1", convT(shape{2, 5, 4, 3}, shape{5, 3, 1, 1}, graph.Square(1, 2, 0), 1, 0), shape{2, 3, 8, 5}, ""},
	{"transposed conv channels", convT(shape{2, 4, 4, 3}, shape{5, 3, 3, 3}, graph.Square(3, 2, 1), 0, 0), nil, "does not fit weight"},
	{"transposed conv kernel", convT(shape{2, 5, 4, 3}, shape{5, 3, 3, 3}, graph.Square(1, 2, 1), 0, 0), nil, "not 1 x 1"},
	{"transposed conv padding", convT(shape{2, 5, 4, 3}, shape{5, 3, 3, 3}, graph.Square(3, 2, 1), 2, 0), nil, "output padding [2 0]"},
	{"transposed conv nothing", convT(shape{2, 5, 1, 1}, shape{5, 3, 1, 1}, graph.Square(1, 2, 1), 0, 0), nil, "gives nothing"},

	{"concat", concat(1, shape{2, 1}, shape{2, 3}), shape{2, 4}, ""},
	{"concat open batch", concat(1, shape{graph.Batch, 1}, shape{graph.Batch, 3}), shape{graph.Batch, 4}, ""},
	{"concat along open", concat(0, shape{graph.Batch, 1}, shape{3, 1}), nil, "open"},
	{"concat misfit", concat(0, shape{2, 1}, shape{2, 3}), nil, "shapes [2 1] and [2 3] differ outside axis 0"},
	{"concat ranks", concat(0, shape{2, 1}, shape{2}), nil, "different ranks"},
	{"concat axis", concat(2, shape{2, 1}, shape{2, 1}), nil, "along axis 2"},
	{"concat nothing", concat(0), nil, "cannot join"},
}

func TestShapeRules(t *testing.T) {
	for _, row := range shapeRows {
		got, err := row.get()
		switch {
		case row.err == "" && (err != nil || !slices.Equal(got, row.want)):
			t.Errorf("%s: got %v, %v, want %v", row.name, got, err, row.want)
		case row.err != "" && (err == nil || !strings.Contains(err.Error(), row.err)):
			t.Errorf("%s: got %v, %v, want an error with %q", row.name, got, err, row.err)
		}
	}
}

// The rules are pure: they do not modify the shapes they are given.
func TestShapeRulesKeepTheirInput(t *testing.T) {
	a, b := shape{4, 1, 3}, shape{2, 1}
	graph.BroadcastShape(a, b)
	graph.MatMulShape(a, shape{3, 2}, false, false)
	graph.ConcatShape([][]int{a, a}, 0)
	graph.ReshapeShape(a, b)
	if fmt.Sprint(a, b) != "[4 1 3] [2 1]" {
		t.Errorf("the input became %v, %v", a, b)
	}
}

func broadcast(a, b shape) func() (shape, error) {
	return func() (shape, error) { return graph.BroadcastShape(a, b) }
}

func matmul(a, b shape, ta, tb bool) func() (shape, error) {
	return func() (shape, error) { return graph.MatMulShape(a, b, ta, tb) }
}

func reduce(s shape, keep bool, axes ...int) func() (shape, error) {
	return func() (shape, error) { return graph.ReduceShape(s, axes, keep) }
}

func reshape(s shape, want ...int) func() (shape, error) {
	return func() (shape, error) { return graph.ReshapeShape(s, want) }
}

func transpose(s shape, perm ...int) func() (shape, error) {
	return func() (shape, error) { return graph.TransposeShape(s, perm) }
}

func conv(x, w shape, window win, group int) func() (shape, error) {
	return func() (shape, error) { return graph.ConvShape(x, w, window, group) }
}

func pool(x shape, window win) func() (shape, error) {
	return func() (shape, error) { return graph.PoolShape(x, window) }
}

func convT(x, w shape, window win, h, wd int) func() (shape, error) {
	return func() (shape, error) { return graph.ConvTransposeShape(x, w, window, [2]int{h, wd}) }
}

func concat(axis int, shapes ...shape) func() (shape, error) {
	return func() (shape, error) { return graph.ConcatShape(shapes, axis) }
}
