package onnx

import (
	"errors"
	"fmt"
)

// Check returns an error unless a model is well-formed: its operator sets are imported, every
// tensor is produced once and before its use, every tensor has a declared type and shape,
// attributes match their types, constants match their dimensions, and every output is produced by
// something. It does not check what operators do. The error names the node or the tensor.
func Check(m *ModelProto) error {
	if err := check(m); err != nil {
		return fmt.Errorf("check onnx model: %w", err)
	}
	return nil
}

func check(m *ModelProto) error {
	switch {
	case m.GetGraph() == nil:
		return errors.New("no graph")
	case m.IrVersion < 3:
		return fmt.Errorf("ir version %d: want 3 or later", m.IrVersion)
	case m.Graph.Name == "":
		return errors.New("the graph has no name")
	}
	c := &checker{opsets: map[string]bool{}}
	for _, o := range m.OpsetImport {
		if c.opsets[domain(o.Domain)] || o.Version < 1 {
			return fmt.Errorf("operator set %q version %d: imported twice or without a version", o.Domain, o.Version)
		}
		c.opsets[domain(o.Domain)] = true
	}
	if len(c.opsets) == 0 {
		return errors.New("no operator set is imported")
	}
	keys := map[string]bool{}
	for _, p := range m.MetadataProps {
		if keys[p.Key] {
			return fmt.Errorf("metadata key %q: set twice", p.Key)
		}
		keys[p.Key] = true
	}
	return c.graph(m.Graph, nil)
}

// domain maps the long name of the standard operators to the short one.
func domain(d string) string {
	if d == "ai.onnx" {
		return ""
	}
	return d
}

// scope is the set of names visible in a graph: its own, then those of the enclosing graph.
type scope struct {
	made  map[string]bool
	outer *scope
}

func (s *scope) has(name string) bool {
	for ; s != nil; s = s.outer {
		if s.made[name] {
			return true
		}
	}
	return false
}

type checker struct {
	opsets map[string]bool
}

func (c *checker) graph(g *GraphProto, outer *scope) error {
	s := &scope{made: map[string]bool{}, outer: outer}
	if err := sources(g, s); err != nil {
		return err
	}
	typed, err := declared(g, outer != nil)
	if err != nil {
		return err
	}
	for i, n := range g.Node {
		if err := c.node(n, s, typed); err != nil {
			return fmt.Errorf("node %d %q (%s): %w", i, n.Name, n.OpType, err)
		}
	}
	for _, v := range g.Output {
		if !s.has(v.Name) {
			return fmt.Errorf("output %q: nothing makes it", v.Name)
		}
	}
	return nil
}

// sources adds the graph's inputs and constants to the scope. A constant may share the name of an
// input, whose default it then is.
func sources(g *GraphProto, s *scope) error {
	for _, v := range g.Input {
		if v.Name == "" || s.has(v.Name) {
			return fmt.Errorf("input %q: no name, or a name given twice", v.Name)
		}
		s.made[v.Name] = true
	}
	seen := map[string]bool{}
	for _, t := range g.Initializer {
		if t.Name == "" || seen[t.Name] {
			return fmt.Errorf("initializer %q: no name, or a name given twice", t.Name)
		}
		if _, err := elements(t); err != nil {
			return fmt.Errorf("initializer: %w", err)
		}
		seen[t.Name], s.made[t.Name] = true, true
	}
	return nil
}

// declared returns the names with a type and a shape. A nested graph may leave types to the
// enclosing node.
func declared(g *GraphProto, nested bool) (map[string]bool, error) {
	typed := map[string]bool{}
	for _, group := range [][]*ValueInfoProto{g.Input, g.Output, g.ValueInfo} {
		seen := map[string]bool{}
		for _, v := range group {
			if _, err := SpecOf(v); err != nil && !nested {
				return nil, err
			}
			if seen[v.Name] {
				return nil, fmt.Errorf("value %q: declared twice", v.Name)
			}
			seen[v.Name], typed[v.Name] = true, true
		}
	}
	return typed, nil
}

func (c *checker) node(n *NodeProto, s *scope, typed map[string]bool) error {
	if n.OpType == "" {
		return errors.New("no operator")
	}
	if !c.opsets[domain(n.Domain)] {
		return fmt.Errorf("operator set %q is not imported", n.Domain)
	}
	for i, name := range n.Input {
		if name != "" && !s.has(name) {
			return fmt.Errorf("input %d %q is used before anything makes it", i, name)
		}
	}
	if err := c.attributes(n, s); err != nil {
		return err
	}
	for i, name := range n.Output {
		switch {
		case name == "":
			continue
		case s.has(name):
			return fmt.Errorf("output %d %q is already made", i, name)
		case !typed[name]:
			return fmt.Errorf("output %d %q has no value_info", i, name)
		}
		s.made[name] = true
	}
	return nil
}

func (c *checker) attributes(n *NodeProto, s *scope) error {
	seen := map[string]bool{}
	for _, a := range n.Attribute {
		if a.Name == "" || seen[a.Name] {
			return fmt.Errorf("attribute %q: no name, or given twice", a.Name)
		}
		seen[a.Name] = true
		if set, typed := a.values(); set > 1 || !typed {
			return fmt.Errorf("attribute %q: %d values for type %v", a.Name, set, a.Type)
		}
		if a.T != nil {
			if _, err := elements(a.T); err != nil {
				return fmt.Errorf("attribute %q: %w", a.Name, err)
			}
		}
		if a.G != nil {
			if err := c.graph(a.G, s); err != nil {
				return fmt.Errorf("attribute %q: %w", a.Name, err)
			}
		}
	}
	return nil
}
