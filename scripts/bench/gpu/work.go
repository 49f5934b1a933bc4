package main

import (
	"math"
	"slices"
)

// flops returns the number of operations of a matrix product or convolution, 0 for other nodes.
func (n node) flops() float64 {
	if len(n.In) < 2 || len(n.Out) < 1 {
		return 0
	}
	switch n.Op {
	case "Conv", "FusedConv", "NhwcConv":
		w := n.In[1]
		return 2 * n.Out[0].elements() * w.elements() / first(w)
	case "ConvTranspose", "ConvInputGrad":
		w := n.In[1]
		return 2 * n.In[0].elements() * w.elements() / first(w)
	case "ConvWeightGrad":
		w := n.Out[0]
		return 2 * n.In[0].elements() * w.elements() / first(w)
	case "Gemm", "FusedGemm", "MatMul", "FusedMatMul":
		return 2 * n.Out[0].elements() * inner(n.In[0], n.In[1], n.Out[0])
	}
	return 0
}

func first(s shape) float64 {
	if len(s.Dims) == 0 || s.Dims[0] == 0 {
		return 1
	}
	return float64(s.Dims[0])
}

// inner returns K of a product [.., M, K] [.., K, N], whatever is transposed: it follows from the
// number of elements of the three. Batch dimensions that both operands have count once.
func inner(a, b, out shape) float64 {
	if out.elements() == 0 {
		return 0
	}
	k2 := a.elements() * b.elements() / out.elements()
	if len(a.Dims) > 2 && len(b.Dims) > 2 && slices.Equal(a.Dims[:len(a.Dims)-2], b.Dims[:len(b.Dims)-2]) {
		for _, d := range a.Dims[:len(a.Dims)-2] {
			k2 /= float64(d)
		}
	}
	return math.Sqrt(k2)
}

// moved returns the minimum that a node reads and writes, in bytes.
func (n node) moved() (sum float64) {
	for _, s := range n.In {
		sum += s.bytes()
	}
	for _, s := range n.Out {
		sum += s.bytes()
	}
	return sum
}
