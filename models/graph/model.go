package graph

import (
	"fmt"

	"vicreg/models/onnx"
	"vicreg/models/tensor"
)

// irVersion is the ONNX file format version that goes with Opset.
const irVersion = 9

// Model returns the graph as an ONNX model: composites replaced by their
// bodies, nodes and constants that no output needs left out, value_info for
// every tensor. Equal graphs give equal models.
func (g *Graph) Model() (*onnx.ModelProto, error) {
	live := g.live()
	m := &onnx.ModelProto{IrVersion: irVersion, ProducerName: "vicreg", Graph: &onnx.GraphProto{Name: g.Name}}
	w := writer{graph: m.Graph, names: g.outerNames(), domains: map[string]bool{"": true}}
	for _, v := range g.Inputs {
		m.Graph.Input = append(m.Graph.Input, onnx.ValueInfo(w.spec(v)))
	}
	for _, v := range g.Consts {
		if live[v] {
			m.Graph.Initializer = append(m.Graph.Initializer, onnx.TensorOf(v.Data, v.Name))
		}
	}
	for _, n := range flatten(g.Nodes, nil) {
		if anyLive(n, live) {
			w.node(n)
		}
	}
	w.outputs(g.Outputs)
	for _, d := range []struct {
		name    string
		version int64
	}{{"", Opset}, {DomainMS, 1}, {DomainNCHWc, 1}, {DomainNHWC, Opset}, {DomainCUDA, 1}, {DomainCollectives, 1}} {
		if w.domains[d.name] {
			m.OpsetImport = append(m.OpsetImport, &onnx.OperatorSetIdProto{Domain: d.name, Version: d.version})
		}
	}
	if err := onnx.Check(m); err != nil {
		return nil, fmt.Errorf("write graph %s: %w", g.Name, err)
	}
	return m, nil
}

// Marshal returns the bytes of the graph's ONNX file.
func (g *Graph) Marshal() ([]byte, error) {
	m, err := g.Model()
	if err != nil {
		return nil, err
	}
	return onnx.Marshal(m)
}

// live marks the values that some output depends on.
func (g *Graph) live() map[*Value]bool {
	live := map[*Value]bool{}
	for _, o := range g.Outputs {
		live[o.Value] = true
	}
	nodes := flatten(g.Nodes, nil)
	for i := len(nodes) - 1; i >= 0; i-- {
		if !anyLive(nodes[i], live) {
			continue
		}
		for _, v := range nodes[i].Inputs {
			if v != nil {
				live[v] = true
			}
		}
	}
	return live
}

func anyLive(n *Node, live map[*Value]bool) bool {
	for _, v := range n.Outputs {
		if live[v] {
			return true
		}
	}
	return false
}

// flatten replaces composites by their bodies, in order.
func flatten(nodes, into []*Node) []*Node {
	for _, n := range nodes {
		if n.Domain == DomainComposite {
			into = flatten(n.Body, into)
			continue
		}
		into = append(into, n)
	}
	return into
}

// outerNames maps computed outputs to their names outside the graph, which saves copies. Further
// names of a value, and outputs that are inputs or constants, become Identity nodes in
// writer.outputs.
func (g *Graph) outerNames() map[*Value]string {
	names := map[*Value]string{}
	for _, o := range g.Outputs {
		if _, taken := names[o.Value]; !taken && o.Value.Node != nil {
			names[o.Value] = o.Name
		}
	}
	return names
}

type writer struct {
	graph   *onnx.GraphProto
	names   map[*Value]string
	domains map[string]bool
}

func (w *writer) name(v *Value) string {
	if v == nil {
		return ""
	}
	if n, ok := w.names[v]; ok {
		return n
	}
	return v.Name
}

func (w *writer) spec(v *Value) tensor.Spec {
	return tensor.Spec{Name: w.name(v), Type: v.Type, Shape: v.Memory()}
}

func (w *writer) node(n *Node) {
	p := &onnx.NodeProto{OpType: n.Op, Domain: n.Domain, Name: n.Name}
	w.domains[n.Domain] = true
	for _, v := range n.Inputs {
		p.Input = append(p.Input, w.name(v))
	}
	for _, v := range n.Outputs {
		p.Output = append(p.Output, w.name(v))
		if _, outer := w.names[v]; !outer {
			w.graph.ValueInfo = append(w.graph.ValueInfo, onnx.ValueInfo(w.spec(v)))
		}
	}
	for _, a := range n.Attrs {
		p.Attribute = append(p.Attribute, attribute(a))
	}
	w.graph.Node = append(w.graph.Node, p)
}

func (w *writer) outputs(outs []Output) {
	for _, o := range outs {
		s := tensor.Spec{Name: o.Name, Type: o.Value.Type, Shape: o.Value.Shape}
		w.graph.Output = append(w.graph.Output, onnx.ValueInfo(s))
		if inner := w.name(o.Value); inner != o.Name {
			w.graph.Node = append(w.graph.Node, &onnx.NodeProto{OpType: "Identity",
				Name: "output/" + o.Name, Input: []string{inner}, Output: []string{o.Name}})
		}
	}
}

func attribute(a Attr) *onnx.AttributeProto {
	switch v := a.Value.(type) {
	case int:
		return onnx.Int(a.Name, int64(v))
	case float32:
		return onnx.Float(a.Name, v)
	case string:
		return onnx.String(a.Name, v)
	case []int:
		ints := make([]int64, len(v))
		for i, x := range v {
			ints[i] = int64(x)
		}
		return onnx.Ints(a.Name, ints...)
	}
	panic(fmt.Sprintf("graph: attribute %s has type %T", a.Name, a.Value))
}
