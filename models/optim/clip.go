package optim

import "vicreg/models/graph"

// clipEps keeps the division apart from zero, as in PyTorch.
const clipEps = 1e-6

// excess is how many times ClipNorm a gradient of this norm is, but at least 1, [1]: divided
// by it the gradient is that of torch.nn.utils.clip_grad_norm_, and one within ClipNorm is
// what it was to the bit. All gradients are there and kept before the first update.
func (b *builder) excess(norm *graph.Value) *graph.Value {
	g := b.g
	return g.Max(g.Div(g.Add(norm, g.Float(clipEps)), g.Float(b.ClipNorm)), g.Float(1))
}

// clip divides the gradients of this norm that were measured by their excess.
func (b *builder) clip(all []measured, norm *graph.Value) {
	share := b.g.Reciprocal(b.excess(norm))
	for i, v := range all {
		b.g.Prefix("optim/"+v.Name, func() { all[i].d = b.g.Mul(v.d, share) })
	}
}

// rescale returns what takes the place of lossScale, by which gradients of this norm are
// still multiplied, and its reciprocal, [1] each: divided by it they are clipped.
func (b *builder) rescale(lossScale, norm *graph.Value) (scale, inv *graph.Value) {
	scale = b.g.Mul(lossScale, b.excess(norm))
	return scale, b.g.Reciprocal(scale)
}
