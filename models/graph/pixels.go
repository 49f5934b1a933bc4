package graph

import (
	"vicreg/models/tensor"
)

// PixelValues turns pixels uint8 [N, H, W, 3] into [N, channels, H, W] of type t in the NHWC
// layout, by an operator of vicreg's own in CUDA: pixel*scale + shift per colour, with float32 [3]
// each, and zeros in any further channels.
func (g *Graph) PixelValues(pixels, scale, shift *Value, t tensor.DType, channels int) *Value {
	if pixels.Type != tensor.Uint8 || pixels.Rank() != 4 || pixels.Shape[3] != 3 || channels < 3 {
		g.Fail("Pixels", "%v%v for %d channels", pixels.Type, pixels.Shape, channels)
	}
	shape := []int{pixels.Shape[0], channels, pixels.Shape[1], pixels.Shape[2]}
	return g.nhwc(DomainCUDA, "Pixels", []Attr{{"channels", channels}}, []*Value{pixels, scale, shift, g.zeros(t, 1)}, t, shape)
}

// WiderPixels rebuilds a result of PixelValues with another number of channels; it returns nil if x
// is anything else.
func (g *Graph) WiderPixels(x *Value, channels int) *Value {
	if n := x.Node; n != nil && n.Key() == DomainCUDA+".Pixels" {
		return g.PixelValues(n.Inputs[0], n.Inputs[1], n.Inputs[2], x.Type, channels)
	}
	return nil
}
