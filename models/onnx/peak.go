package onnx

import (
	"vicreg/models/tensor"
)

// Peak is the peak memory, in bytes, of the values that nodes compute, when the nodes run in order
// and each value is freed after its last use. It excludes inputs, initializers and outputs, which
// are allocated elsewhere, and the nodes' workspace. Sizes are rounded up to multiples of 256
// bytes. A Reshape shares the memory of its input. Values whose shape is unknown or not fixed count
// as 0.
func Peak(g *GraphProto) int64 {
	p := peak{bytes: map[string]int64{}, of: map[string]string{}, last: map[string]int{}}
	for _, v := range g.ValueInfo {
		if s, err := SpecOf(v); err == nil {
			p.bytes[v.Name] = bytesOf(s)
		}
	}
	for i, n := range g.Node {
		for _, in := range n.Input {
			p.last[p.owner(in)] = i
		}
		if n.OpType == "Reshape" && n.Domain == "" {
			p.of[n.Output[0]] = p.owner(n.Input[0])
		}
	}
	for i, n := range g.Node {
		p.run(i, n)
	}
	return p.most
}

// peak tracks the live values from node to node.
type peak struct {
	bytes     map[string]int64
	of        map[string]string // the value whose memory a value shares
	last      map[string]int    // the last node that reads a value
	now, most int64
}

func (p *peak) owner(name string) string {
	if of, ok := p.of[name]; ok {
		return of
	}
	return name
}

// run allocates the outputs of node i, then frees what no later node reads.
func (p *peak) run(i int, n *NodeProto) {
	shows := n.OpType == "Reshape" && n.Domain == ""
	for _, out := range n.Output {
		if !shows {
			p.now += p.bytes[out]
		}
	}
	p.most = max(p.most, p.now)
	for _, name := range append(n.Output[:len(n.Output):len(n.Output)], n.Input...) {
		owner := p.owner(name)
		if p.last[owner] <= i { // last is 0 for a value that no node reads
			p.now -= p.bytes[owner]
			delete(p.bytes, owner)
		}
	}
}

// bytesOf is the allocation size of a tensor, 0 if its shape is not fixed.
func bytesOf(s tensor.Spec) int64 {
	const multiple = 256
	n := int64(s.Type.Size())
	for _, d := range s.Shape {
		if d < 0 {
			return 0
		}
		n *= int64(d)
	}
	return (n + multiple - 1) / multiple * multiple
}
