package graph

import (
	"fmt"
	"slices"

	"vicreg/models/tensor"
)

// The shape rules are pure functions, testable without a graph. Each returns an error that says
// what does not fit.

// BroadcastShape is the shape of an element-wise operator over a and b (ONNX
// multidirectional broadcasting).
func BroadcastShape(a, b []int) ([]int, error) {
	if len(a) < len(b) {
		a, b = b, a
	}
	out := slices.Clone(a)
	off := len(a) - len(b)
	for i, d := range b {
		switch e := a[off+i]; {
		case d == e || d == 1:
		case e == 1:
			out[off+i] = d
		default:
			return nil, fmt.Errorf("shapes %v and %v do not broadcast", a, b)
		}
	}
	return out, nil
}

// MatMulShape is the shape of a product of [..., n, k] and [..., k, m]; transA and transB first
// swap the last two axes of a and b.
func MatMulShape(a, b []int, transA, transB bool) ([]int, error) {
	if len(a) < 2 || len(b) < 2 {
		return nil, fmt.Errorf("shapes %v and %v are not matrices", a, b)
	}
	n, k := a[len(a)-2], a[len(a)-1]
	k2, m := b[len(b)-2], b[len(b)-1]
	if transA {
		n, k = k, n
	}
	if transB {
		k2, m = m, k2
	}
	if k != k2 {
		return nil, fmt.Errorf("inner dimensions of %v and %v differ (%d and %d)", a, b, k, k2)
	}
	batch, err := BroadcastShape(a[:len(a)-2], b[:len(b)-2])
	if err != nil {
		return nil, err
	}
	return append(batch, n, m), nil
}

// ReduceShape is the shape after reducing axes, which count from the front.
func ReduceShape(shape, axes []int, keep bool) ([]int, error) {
	out := []int{}
	if len(axes) == 0 { // ONNX would reduce all axes
		return nil, fmt.Errorf("no axes of shape %v to reduce", shape)
	}
	for i, a := range axes {
		if a < 0 || a >= len(shape) || slices.Contains(axes[:i], a) {
			return nil, fmt.Errorf("axes %v are out of range for shape %v or repeat", axes, shape)
		}
	}
	for i, d := range shape {
		switch {
		case !slices.Contains(axes, i):
			out = append(out, d)
		case keep:
			out = append(out, 1)
		}
	}
	return out, nil
}

// ReshapeShape resolves one -1 in want from the elements of shape. If shape has a symbolic
// dimension, the -1 must stand in its place.
func ReshapeShape(shape, want []int) ([]int, error) {
	known, open, out := 1, -1, slices.Clone(want)
	for i, d := range want {
		if d == -1 {
			if open >= 0 {
				return nil, fmt.Errorf("more than one open dimension in %v", want)
			}
			open = i
			continue
		}
		known *= d
	}
	n := tensor.Elements(shape)
	if n < 0 { // symbolic batch
		if open < 0 || -n != known {
			return nil, fmt.Errorf("cannot reshape %v to %v", shape, want)
		}
		return out, nil
	}
	if open >= 0 && known > 0 {
		out[open] = n / known
		known *= out[open]
	}
	if known != n {
		return nil, fmt.Errorf("cannot reshape %v to %v", shape, want)
	}
	return out, nil
}

// TransposeShape permutes a shape.
func TransposeShape(shape, perm []int) ([]int, error) {
	out := make([]int, len(shape))
	seen := make([]bool, len(shape))
	if len(perm) != len(shape) {
		return nil, fmt.Errorf("permutation %v does not fit shape %v", perm, shape)
	}
	for i, p := range perm {
		if p < 0 || p >= len(shape) || seen[p] {
			return nil, fmt.Errorf("%v is not a permutation of the axes of %v", perm, shape)
		}
		seen[p], out[i] = true, shape[p]
	}
	return out, nil
}

// Window is the geometry of a convolution or a pooling: kernel, stride and padding, in pixels. Pads
// are top, left, bottom, right as in ONNX. Dilation is the distance between taps, down and across;
// 0 means 1.
type Window struct {
	KH, KW, Stride int
	Pads           [4]int
	Dilation       [2]int
}

// Square is a k x k window with the same padding on all sides.
func Square(k, stride, pad int) Window {
	return Window{KH: k, KW: k, Stride: stride, Pads: [4]int{pad, pad, pad, pad}}
}

// Out is the output height and width for an h x w input; 0 where the padded input is smaller than
// the window.
func (w Window) Out(h, wd int) (int, int) {
	kh, kw := (w.KH-1)*max(1, w.Dilation[0])+1, (w.KW-1)*max(1, w.Dilation[1])+1
	return steps(h+w.Pads[0]+w.Pads[2]-kh, w.Stride), steps(wd+w.Pads[1]+w.Pads[3]-kw, w.Stride)
}

// steps counts the positions of a window with room to move, stride apart.
func steps(room, stride int) int {
	if room < 0 {
		return 0
	}
	return room/stride + 1
}

// check returns an error unless ONNX supports the window.
func (w Window) check() error {
	if w.KH < 1 || w.KW < 1 || w.Stride < 1 || slices.Min(w.Pads[:]) < 0 || slices.Min(w.Dilation[:]) < 0 {
		return fmt.Errorf("no window of %d x %d, stride %d, pads %v, dilation %v", w.KH, w.KW, w.Stride, w.Pads, w.Dilation)
	}
	return nil
}

// ConvShape is the shape of x [N, C, H, W] convolved with weights [M, C/group, KH, KW].
func ConvShape(x, w []int, win Window, group int) ([]int, error) {
	if len(x) != 4 || len(w) != 4 {
		return nil, fmt.Errorf("input %v and weight %v must have four axes", x, w)
	}
	if group < 1 || x[1] != w[1]*group || w[0]%group != 0 {
		return nil, fmt.Errorf("input %v has %d channels, weight %v wants %d in %d groups", x, x[1], w, w[1]*group, group)
	}
	if w[2] != win.KH || w[3] != win.KW {
		return nil, fmt.Errorf("weight %v is not %d x %d", w, win.KH, win.KW)
	}
	return slide(x, w[0], win)
}

// PoolShape is the shape of a pooling of x [N, C, H, W].
func PoolShape(x []int, win Window) ([]int, error) {
	if len(x) != 4 {
		return nil, fmt.Errorf("input %v must have four axes", x)
	}
	return slide(x, x[1], win)
}

// slide is the shape [N, channels, OH, OW] of a window moved over x [N, C, H, W].
func slide(x []int, channels int, win Window) ([]int, error) {
	if err := win.check(); err != nil {
		return nil, err
	}
	h, wd := win.Out(x[2], x[3])
	if h < 1 || wd < 1 {
		return nil, fmt.Errorf("input %v is smaller than the %d x %d window", x, win.KH, win.KW)
	}
	return []int{x[0], channels, h, wd}, nil
}

// ConvTransposeShape is the shape of the transposed convolution of x
// [N, M, H, W] with weights [M, C, KH, KW].
func ConvTransposeShape(x, w []int, win Window, outPad [2]int) ([]int, error) {
	if len(x) != 4 || len(w) != 4 || x[1] != w[0] {
		return nil, fmt.Errorf("input %v does not fit weight %v", x, w)
	}
	if w[2] != win.KH || w[3] != win.KW {
		return nil, fmt.Errorf("weight %v is not %d x %d", w, win.KH, win.KW)
	}
	if err := win.check(); err != nil {
		return nil, err
	}
	if win.Dilation != [2]int{} {
		return nil, fmt.Errorf("dilation %v of a transposed convolution is not supported", win.Dilation)
	}
	if min(outPad[0], outPad[1]) < 0 || max(outPad[0], outPad[1]) >= win.Stride {
		return nil, fmt.Errorf("output padding %v does not fit stride %d", outPad, win.Stride)
	}
	h := (x[2]-1)*win.Stride + win.KH - win.Pads[0] - win.Pads[2] + outPad[0]
	wd := (x[3]-1)*win.Stride + win.KW - win.Pads[1] - win.Pads[3] + outPad[1]
	if h < 1 || wd < 1 {
		return nil, fmt.Errorf("input %v gives nothing after pads %v", x, win.Pads)
	}
	return []int{x[0], w[1], h, wd}, nil
}

// ConcatShape joins shapes along one axis.
func ConcatShape(shapes [][]int, axis int) ([]int, error) {
	if len(shapes) == 0 || axis < 0 || axis >= len(shapes[0]) {
		return nil, fmt.Errorf("cannot join %v along axis %d", shapes, axis)
	}
	out := slices.Clone(shapes[0])
	for _, s := range shapes[1:] {
		if len(s) != len(out) {
			return nil, fmt.Errorf("shapes %v and %v have different ranks", shapes[0], s)
		}
		for i, d := range s {
			switch {
			case i == axis && min(d, out[i]) < 0:
				return nil, fmt.Errorf("cannot join %v along axis %d, which is open", shapes, axis)
			case i == axis:
				out[i] += d
			case d != out[i]:
				return nil, fmt.Errorf("shapes %v and %v differ outside axis %d", shapes[0], s, axis)
			}
		}
	}
	return out, nil
}
