package encoder

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"slices"

	"vicreg/models/onnx"
	"vicreg/pipeline/imaging"
)

// Fingerprint identifies the function from an image to its vector: 32 hexadecimal digits that
// depend on the operators, their attributes and versions, how they are connected, the bits of the
// weights, the shapes of inputs and outputs (hence on D) and the preprocessing. It does not depend
// on the file: not on the names of tensors, nodes and graph, the order of the nodes, unused nodes,
// where a tensor stores its elements, the producer, documentation or metadata. Vectors are
// comparable only between equal fingerprints.
//
// The graph must be topologically sorted.
func Fingerprint(model *onnx.ModelProto, pre imaging.Preprocess) (string, error) {
	f := &fingerprinter{opsets: map[string]int64{}}
	for _, o := range model.OpsetImport {
		f.opsets[standard(o.Domain)] = o.Version
	}
	graph, err := f.graph(model.Graph, nil)
	if err != nil {
		return "", fmt.Errorf("fingerprint: %w", err)
	}
	h := newSum("vicreg fingerprint 1")
	h.bytes(graph[:])
	h.ints(int64(pre.Resize), int64(pre.Crop))
	h.text(pre.Interpolation)
	if l := pre.Levels; l != (imaging.Levels{}) { // keeps the fingerprints of older models
		h.text("levels")
		h.text(l.String())
	}
	if pre.Background.Set {
		h.text("background")
		h.text(pre.Background.String())
	}
	if pre.Fit != imaging.FitCrop {
		h.text("fit")
		h.text(pre.Fit.String())
		h.text(pre.Fill.String())
	}
	sum := h.sum()
	return hex.EncodeToString(sum[:16]), nil
}

// standard normalises the domain of the standard operators to its short name.
func standard(domain string) string {
	if domain == "ai.onnx" {
		return ""
	}
	return domain
}

// fingerprinter hashes a graph as an expression: the digest of a value is that of the operator that
// computes it and of the digests of its inputs.
type fingerprinter struct{ opsets map[string]int64 }

// names holds the digests of the values in a graph's scope: its own, then those of the enclosing
// graph.
type names struct {
	own   map[string]digest
	outer *names
	depth int64
}

func (n *names) find(name string) (digest, error) {
	for ; n != nil; n = n.outer {
		if d, ok := n.own[name]; ok {
			return d, nil
		}
	}
	return digest{}, fmt.Errorf("value %q is used before it is made", name)
}

func (f *fingerprinter) graph(g *onnx.GraphProto, outer *names) (digest, error) {
	scope := &names{own: map[string]digest{}, outer: outer}
	if outer != nil {
		scope.depth = outer.depth + 1
	}
	h := newSum("graph")
	for i, in := range g.Input {
		s := newSum("input")
		s.ints(scope.depth, int64(i))
		if err := s.spec(in); err != nil && outer == nil { // inputs of a loop's body need no type
			return digest{}, err
		}
		scope.own[in.Name] = s.sum()
		d := scope.own[in.Name]
		h.bytes(d[:])
	}
	for _, t := range g.Initializer {
		d, err := constant(t)
		if err != nil {
			return digest{}, err
		}
		scope.own[t.Name] = d
	}
	for _, n := range g.Node {
		if err := f.node(n, scope); err != nil {
			return digest{}, fmt.Errorf("node %q (%s): %w", n.Name, n.OpType, err)
		}
	}
	for _, out := range g.Output {
		d, err := scope.find(out.Name)
		if err != nil {
			return digest{}, err
		}
		h.bytes(d[:])
		if err := h.spec(out); err != nil && outer == nil {
			return digest{}, err
		}
	}
	return h.sum(), nil
}

// node computes the digests of a node's outputs.
func (f *fingerprinter) node(n *onnx.NodeProto, scope *names) error {
	domain := standard(n.Domain)
	h := newSum("node")
	h.text(domain)
	h.text(n.OpType)
	h.ints(f.opsets[domain], int64(len(n.Input)), int64(len(n.Attribute)))
	for _, name := range n.Input {
		var d digest // all zero for an omitted input
		if name != "" {
			var err error
			if d, err = scope.find(name); err != nil {
				return err
			}
		}
		h.bytes(d[:])
	}
	attributes := slices.Clone(n.Attribute)
	slices.SortFunc(attributes, func(a, b *onnx.AttributeProto) int { return cmp.Compare(a.Name, b.Name) })
	for _, a := range attributes {
		if err := f.attribute(h, a, scope); err != nil {
			return fmt.Errorf("attribute %q: %w", a.Name, err)
		}
	}
	whole := h.sum()
	for i, name := range n.Output {
		o := newSum("output")
		o.bytes(whole[:])
		o.ints(int64(i))
		scope.own[name] = o.sum()
	}
	return nil
}

func (f *fingerprinter) attribute(h sum, a *onnx.AttributeProto, scope *names) error {
	h.text(a.Name)
	h.ints(int64(a.Type), int64(math.Float32bits(a.F)), a.I)
	h.bytes(a.S)
	h.ints(int64(len(a.Floats)))
	for _, v := range a.Floats {
		h.ints(int64(math.Float32bits(v)))
	}
	h.ints(int64(len(a.Ints)))
	h.ints(a.Ints...)
	h.ints(int64(len(a.Strings)))
	for _, s := range a.Strings {
		h.bytes(s)
	}
	for _, t := range append(slices.Clone(a.Tensors), a.T) {
		if t == nil {
			continue
		}
		d, err := constant(t)
		if err != nil {
			return err
		}
		h.bytes(d[:])
	}
	for _, g := range append(slices.Clone(a.Graphs), a.G) {
		if g == nil {
			continue
		}
		d, err := f.graph(g, scope)
		if err != nil {
			return err
		}
		h.bytes(d[:])
	}
	return nil
}

// constant hashes type, shape and elements, wherever the elements are stored.
func constant(p *onnx.TensorProto) (digest, error) {
	t, err := onnx.TensorFrom(p)
	if err != nil {
		return digest{}, err
	}
	h := newSum("constant")
	h.ints(int64(t.Type), int64(len(t.Shape)))
	for _, d := range t.Shape {
		h.ints(int64(d))
	}
	raw, err := binary.Append(nil, binary.LittleEndian, t.Data)
	if err != nil {
		return digest{}, fmt.Errorf("tensor %q: %w", p.Name, err)
	}
	h.bytes(raw)
	return h.sum(), nil
}
