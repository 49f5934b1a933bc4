package reference

import (
	"math"
	"slices"
)

func dots(c *call) array {
	n := len(c.in) / 2
	out := zeros(3, n)
	for i := range n {
		p, g := c.in[i].data, c.in[n+i].data
		for k := range p {
			out.data[i] += p[k] * p[k]
			out.data[n+i] += g[k] * g[k]
			out.data[2*n+i] += p[k] * g[k]
		}
	}
	return out
}

func momentum(c *call) []array {
	decay, rate, lr, lists := c.in[0].data, c.in[1].data, c.in[2].data[0], c.in[3:]
	n, mu := len(lists)/3, c.float("momentum", 0)
	out := make([]array, 2*n)
	for i := range n {
		p, g, m := lists[i], lists[n+i], lists[2*n+i]
		nextP, nextM := zeros(p.shape...), zeros(p.shape...)
		for k := range p.data {
			nextM.data[k] = rate[i] * (g.data[k] + decay[i]*p.data[k])
			if mu != 0 {
				nextM.data[k] += mu * m.data[k]
			}
			nextP.data[k] = p.data[k] - lr*nextM.data[k]
		}
		out[i], out[n+i] = nextP, nextM
	}
	return out
}

func adam(c *call) []array {
	decay, rate, correct, inv, lists := c.in[0].data, c.in[1].data[0], c.in[2].data[0], c.in[3].data[0], c.in[4:]
	fresh1, fresh2, eps := c.float("fresh1", 0), c.float("fresh2", 0), c.float("eps", 0)
	n := len(lists) / 4
	out := make([]array, 3*n)
	for i := range n {
		p, g, m, v := lists[i], lists[n+i].data, lists[2*n+i].data, lists[3*n+i].data
		nextP, nextM, nextV := zeros(p.shape...), zeros(p.shape...), zeros(p.shape...)
		for k, x := range p.data {
			d := inv * g[k]
			nextM.data[k] = (1-fresh1)*m[k] + fresh1*d
			nextV.data[k] = (1-fresh2)*v[k] + fresh2*d*d
			nextP.data[k] = x - decay[i]*x - rate*nextM.data[k]/(math.Sqrt(correct*nextV.data[k])+eps)
		}
		out[i], out[n+i], out[2*n+i] = nextP, nextM, nextV
	}
	return out
}

func blend(c *call) []array {
	weights, lists, n := c.in[0], c.in[1:], c.in[0].shape[1]
	out, source := make([]array, n), 0
	for from := 0; from < len(lists); from += n {
		stacked := len(lists[from].data) / len(lists[0].data)
		for i, x := range lists[from : from+n] {
			if from == 0 {
				out[i] = zeros(x.shape...)
			}
			size := len(out[i].data)
			for k, v := range x.data {
				out[i].data[k%size] += weights.data[(source+k/size)*n+i] * v
			}
		}
		source += stacked
	}
	return out
}

func sums(c *call) []array {
	n := len(c.in) / 2
	out := make([]array, n)
	for i := range n {
		out[i] = zeros(c.in[i].shape...)
		for k := range out[i].data {
			out[i].data[k] = c.in[i].data[k] + c.in[n+i].data[k]
		}
	}
	return out
}

// halves copies: rounding follows from the types of the results.
func halves(c *call) []array {
	out := make([]array, len(c.in)-1)
	for i, x := range c.in[1:] {
		out[i] = array{x.shape, slices.Clone(x.data)}
	}
	return out
}
