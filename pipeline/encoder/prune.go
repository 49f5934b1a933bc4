package encoder

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"vicreg/models/onnx"
)

// choose returns the value called name; with an empty name, the only value.
func choose(kind, name string, from []*onnx.ValueInfoProto) (*onnx.ValueInfoProto, error) {
	for _, v := range from {
		if v.Name == name || name == "" && len(from) == 1 {
			return v, nil
		}
	}
	if name != "" {
		return nil, fmt.Errorf("no %s is named %q; available: %s", kind, name, listing(from))
	}
	return nil, fmt.Errorf("the model has %d %ss: choose one with --%s (available: %s)", len(from), kind, kind, listing(from))
}

func listing(values []*onnx.ValueInfoProto) string {
	var list []string
	for _, v := range values {
		list = append(list, v.Name)
	}
	return strings.Join(list, ", ")
}

// prune removes everything from a graph that an output does not depend on. The remaining inputs are
// those that must be fed: old files also list their constants as inputs.
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

// use marks the values that a node needs, including those that its subgraphs take from the
// enclosing scope; of the latter it may mark too many.
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

// taken records every value name in a graph and its subgraphs.
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

// functionsField is the number of ModelProto.functions, which package onnx does not parse, so that
// a fingerprint would not cover them.
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
