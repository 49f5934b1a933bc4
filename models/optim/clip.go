package optim

import "vicreg/models/graph"

// clipEps is added to the norm, as in PyTorch, where it keeps the divisor from being zero.
const clipEps = 1e-6

// excess returns max(norm/ClipNorm, 1), [1]. Dividing a gradient of this norm by it clips as
// torch.nn.utils.clip_grad_norm_ does, and leaves one within ClipNorm bit-identical. The norm
// needs every gradient, so all are held in memory before the first update.
func (b *builder) excess(norm *graph.Value) *graph.Value {
	g := b.g
	return g.Max(g.Div(g.Add(norm, g.Float(clipEps)), g.Float(b.ClipNorm)), g.Float(1))
}

// clip divides the measured gradients, of this overall norm, by their excess.
func (b *builder) clip(all []measured, norm *graph.Value) {
	share := b.g.Reciprocal(b.excess(norm))
	for i, v := range all {
		b.g.Prefix("optim/"+v.Name, func() { all[i].d = b.g.Mul(v.d, share) })
	}
}

// rescale folds clipping into lossScale: it returns the factor that replaces it and its
// reciprocal, [1] each. Dividing the still scaled gradients by the factor unscales and clips
// them. norm is that of the unscaled gradients.
func (b *builder) rescale(lossScale, norm *graph.Value) (scale, inv *graph.Value) {
	scale = b.g.Mul(lossScale, b.excess(norm))
	return scale, b.g.Reciprocal(scale)
}
