package graph

import (
	"fmt"
	"strings"

	"vicreg/models/tensor"
)

// String prints the graph, one node per line, composites with their body indented:
//
//	y: float32[2,3] = Add(a, b)
func (g *Graph) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "graph %s\n", g.Name)
	for _, v := range g.Inputs {
		fmt.Fprintf(&b, "  in  %s\n", typed(v))
	}
	printNodes(&b, g.Nodes, "  ")
	for _, o := range g.Outputs {
		fmt.Fprintf(&b, "  out %s = %s\n", o.Name, o.Value.Name)
	}
	return b.String()
}

func printNodes(b *strings.Builder, nodes []*Node, indent string) {
	for _, n := range nodes {
		outs := make([]string, len(n.Outputs))
		for i, v := range n.Outputs {
			outs[i] = typed(v)
		}
		fmt.Fprintf(b, "%s%s = %s\n", indent, strings.Join(outs, ", "), n.call())
		printNodes(b, n.Body, indent+"  | ")
	}
}

// call is the right-hand side of a printed node: Conv(x, w; group=1).
func (n *Node) call() string {
	args := make([]string, len(n.Inputs))
	for i, v := range n.Inputs {
		if args[i] = "_"; v != nil {
			args[i] = v.Name
		}
	}
	s := n.Key() + "(" + strings.Join(args, ", ")
	for i, a := range n.Attrs {
		sep := ", "
		if i == 0 {
			sep = "; "
		}
		s += fmt.Sprintf("%s%s=%v", sep, a.Name, a.Value)
	}
	return s + ")"
}

func typed(v *Value) string {
	dims := strings.ReplaceAll(strings.Trim(fmt.Sprint(v.Shape), "[]"), " ", ",")
	dims = strings.ReplaceAll(dims, "-1", "N")
	layout := ""
	if v.Layout != tensor.Plain {
		layout = "/" + v.Layout.String()
	}
	return fmt.Sprintf("%s: %v[%s]%s", v.Name, v.Type, dims, layout)
}
