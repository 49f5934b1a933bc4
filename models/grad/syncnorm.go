package grad

import "vicreg/models/graph"

// This file is what synchronised batch normalisation adds (SyncBatchNorm): each process normalises
// its part of a batch by the statistics of the whole batch. It takes one exchange per
// normalisation and direction.

// sharedMoments returns the mean and the biased variance [C] of the whole batch, given those of the
// parts, m_p and v_p, of equal size:
//
//	m = avg m_p, v = avg v_p + avg (m_p - m)^2
//
// Unlike avg (v_p + m_p^2) - m^2 this loses no digits if a channel is far from zero.
func sharedMoments(g *graph.Graph, mean, variance *graph.Value) (shared, sharedVariance *graph.Value) {
	if g.Normalized.Alone() {
		return mean, variance
	}
	c := mean.Shape[0]
	parts := g.AllGather(g.Normalized, g.Reshape(g.Concat(0, mean, variance), 1, 2*c))[0] // [processes, 2C]
	inv := g.Float(1 / float64(g.Normalized.Size))
	average := func(parts *graph.Value) *graph.Value { return g.Mul(g.ReduceSum(parts, false, 0), inv) }
	means, variances := g.Slice(parts, 1, 0, c), g.Slice(parts, 1, c, 2*c)
	shared = average(means)
	apart := g.Sub(means, shared)
	return shared, g.Add(average(variances), average(g.Mul(apart, apart)))
}

// sharedSums returns the sums [C] over the whole batch that the gradient with respect to x needs.
// The gradients of gamma and beta themselves stay those of this part: like all gradients of
// parameters, they are summed over the processes at the end of the step.
func sharedSums(g *graph.Graph, dbeta, dgamma *graph.Value) (sharedBeta, sharedGamma *graph.Value) {
	if g.Normalized.Alone() {
		return dbeta, dgamma
	}
	all := g.AllReduce(g.Normalized, dbeta, dgamma)
	return all[0], all[1]
}
