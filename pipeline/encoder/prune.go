package encoder

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"vicreg/models/onnx"
)

// choose returns the value with a name; the only one for no name.
func choose(kind, name string, from []*onnx.ValueInfoProto) (*onnx.ValueInfoProto, error) {
	for _, v := range from {
		if v.Name == name || name == "" && len(from) == 1 {
			return v, nil
		}
	}
	if name != "" {
		return nil, fmt.Errorf("no %s is named %q; there is %s", kind, name, listing(from))
	}
	return nil, fmt.Errorf("the model has %d %ss: say with --%s which is meant (of %s)", len(from), kind, kind, listing(from))
}

func listing(values []*onnx.ValueInfoProto) string {
	var list []string
	for _, v := range values {
		list = append(list, v.Name)
	}
	return strings.Join(list, ", ")
}

// prune leaves of a graph what an output is made from. Its inputs are then those
// that have to be fed: old files list their constants among them.
func prune(g *onnx.GraphProto, output string) {
	used := map[string]bool{output: true}
	var kept []*onnx.NodeProto
	for _, n := range slices.Backward(g.Node) {
		if slices.ContainsFunc(n.Output, func(o string) bool { return o != "" && used[o] }) {
			kept = append(kept, n)
			use(n, used)
		}
	}
	slices.Reverse(kept)
	g.Node = kept
	g.Initializer = slices.DeleteFunc(g.Initializer, func(t *onnx.TensorProto) bool { return !used[t.Name] })
	constants := map[string]bool{}
	for _, t := range g.Initializer {
		constants[t.Name] = true
	}
	g.Input = slices.DeleteFunc(g.Input, func(v *onnx.ValueInfoProto) bool { return !used[v.Name] || constants[v.Name] })
	ends := map[string]bool{output: true}
	for _, v := range g.Input {
		ends[v.Name] = true
	}
	g.ValueInfo = slices.DeleteFunc(g.ValueInfo, func(v *onnx.ValueInfoProto) bool { return !used[v.Name] || ends[v.Name] })
}

// use enters the values that a node needs, those that its subgraphs take from
// around them included; of these it may enter too many.
func use(n *onnx.NodeProto, used map[string]bool) {
	for _, name := range n.Input {
		used[name] = true
	}
	for _, g := range subgraphs(n) {
		for _, inner := range g.Node {
			use(inner, used)
		}
		for _, v := range g.Output {
			used[v.Name] = true
		}
	}
}

// taken enters every name of a value in a graph and below.
func taken(g *onnx.GraphProto, all map[string]bool) {
	for _, v := range slices.Concat(g.Input, g.Output, g.ValueInfo) {
		all[v.Name] = true
	}
	for _, t := range g.Initializer {
		all[t.Name] = true
	}
	for _, n := range g.Node {
		for _, name := range slices.Concat(n.Input, n.Output) {
			all[name] = true
		}
		for _, sub := range subgraphs(n) {
			taken(sub, all)
		}
	}
}

func subgraphs(n *onnx.NodeProto) (graphs []*onnx.GraphProto) {
	for _, a := range n.Attribute {
		if a.G != nil {
			graphs = append(graphs, a.G)
		}
		graphs = append(graphs, a.Graphs...)
	}
	return graphs
}

// functionsField is the number of ModelProto.functions, which package onnx leaves
// unread: a fingerprint would not cover what they do.
const functionsField = 25

func hasFunctions(m *onnx.ModelProto) bool {
	for b := m.ProtoReflect().GetUnknown(); len(b) > 0; {
		number, _, n := protowire.ConsumeField(b)
		if n < 0 {
			return false
		}
		if number == functionsField {
			return true
		}
		b = b[n:]
	}
	return false
}
