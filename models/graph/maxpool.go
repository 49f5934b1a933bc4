package graph

import (
	"slices"

	"vicreg/models/tensor"
)

// PlacesTake reports whether MaxPoolPlaces supports a window: none may lie entirely in the padding,
// and a byte must hold the index of a place.
func PlacesTake(win Window) bool {
	return CudnnTakes(win) && win.KH*win.KW <= 256 && max(win.Pads[0], win.Pads[2]) < win.KH && max(win.Pads[1], win.Pads[3]) < win.KW
}

// MaxPoolPlaces is the maximum over a window of x in the NHWC layout, by an operator of vicreg's
// own in CUDA: y, and for each element the place in its window that it came from, as uint8.
func (g *Graph) MaxPoolPlaces(x *Value, win Window) (y, places *Value) {
	g.cudnnOperands("MaxPool", win, nil, x)
	shape, err := PoolShape(x.Shape, win)
	if err != nil {
		g.Fail("MaxPool", "%v", err)
	}
	out := g.op(DomainCUDA, "MaxPool", append(cudnnWindow(win), Attr{"kernel", []int{win.KH, win.KW}}), []*Value{x},
		&Value{Type: x.Type, Shape: shape, Layout: tensor.NHWC}, &Value{Type: tensor.Uint8, Shape: slices.Clone(shape), Layout: tensor.NHWC})
	return out[0], out[1]
}

// MaxPoolPlacesGrad is the gradient of MaxPoolPlaces with respect to x, of h x w pixels, given that
// of y.
func (g *Graph) MaxPoolPlacesGrad(dy, places *Value, win Window, h, w int) *Value {
	g.cudnnOperands("MaxPoolGrad", win, nil, dy)
	attrs := append(cudnnWindow(win), Attr{"kernel", []int{win.KH, win.KW}}, Attr{"size", []int{h, w}})
	return g.nhwc(DomainCUDA, "MaxPoolGrad", attrs, []*Value{dy, places}, dy.Type, []int{dy.Shape[0], dy.Shape[1], h, w})
}
