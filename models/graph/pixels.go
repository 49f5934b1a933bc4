package graph

import (
	"vicreg/models/tensor"
)

// PixelValues turns pixels uint8 [N, H, W, 3] into [N, channels, H, W] of type t in the
// NHWC layout, by an operator of vicreg's own in CUDA: pixel*scale + shift by colour,
// which are float32 [3], and zeros in the channels behind.
func (g *Graph) PixelValues(pixels, scale, shift *Value, t tensor.DType, channels int) *Value {
	if pixels.Type != tensor.Uint8 || pixels.Rank() != 4 || pixels.Shape[3] != 3 || channels < 3 {
		g.Fail("Pixels", "%v%v for %d channels", pixels.Type, pixels.Shape, channels)
	}
	shape := []int{pixels.Shape[0], channels, pixels.Shape[1], pixels.Shape[2]}
	return g.nhwc(DomainCUDA, "Pixels", []Attr{{"channels", channels}}, []*Value{pixels, scale, shift, g.zeros(t, 1)}, t, shape)
}

// WiderPixels is what PixelValues gave with more channels; nil where x is none of that.
func (g *Graph) WiderPixels(x *Value, channels int) *Value {
	if n := x.Node; n != nil && n.Key() == DomainCUDA+".Pixels" {
		return g.PixelValues(n.Inputs[0], n.Inputs[1], n.Inputs[2], x.Type, channels)
	}
	return nil
}
