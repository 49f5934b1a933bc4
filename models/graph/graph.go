// Package graph builds ONNX graphs: one method per operator, shapes and types
// inferred as the graph grows, a text form that tests compare, and the ONNX
// model at the end.
//
// Building code reads like the formula it implements, so the methods return a
// Value and no error. A wrong shape or type panics with *Error, which Build
// recovers: building is done inside the function given to Build.
package graph

import (
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"vicreg/models/tensor"
)

// Opset is the version of the default ONNX operator set that every graph uses.
const Opset = 20

// Operator domains beside the default one.
const (
	// DomainMS holds ONNX Runtime's own operators, on every execution provider.
	DomainMS = "com.microsoft"
	// DomainNCHWc holds ONNX Runtime's blocked convolutions, on x86 CPUs.
	DomainNCHWc = "com.microsoft.nchwc"
	// DomainNHWC holds ONNX Runtime's channels-last kernels, on CUDA.
	DomainNHWC = "com.ms.internal.nhwc"
	// DomainCUDA holds vicreg's own operators, on CUDA devices.
	DomainCUDA = "vicreg.cuda"
	// DomainCollectives holds vicreg's operators that exchange tensors with other
	// processes, on the host.
	DomainCollectives = "vicreg.collectives"
	// DomainComposite marks a node that stands for its Body. It never reaches
	// the ONNX file.
	DomainComposite = "vicreg"
)

// Batch is the symbolic dimension of a graph whose batch size is open.
const Batch = -1

// Graph is an ONNX graph under construction, in topological order. It is not
// safe for concurrent use.
type Graph struct {
	Name    string
	Inputs  []*Value
	Outputs []Output
	Consts  []*Value
	Nodes   []*Node

	// Block is the channel block of the NCHWc operators; 0 builds the portable
	// graph, of standard operators and FusedMatMul.
	Block int

	// Device is where the graph will run. What is fast on a CPU is not on CUDA.
	Device tensor.Device

	// CustomOps uses vicreg's own operators, those of DomainCUDA, for convolutions, normalisations,
	// pooling and optimiser steps on CUDA, wherever they apply. Without them the graph is portable
	// but slow: a step of ResNet-18 in fp16 takes 42.8 ms on an H200, against 12.3 with them.
	CustomOps bool

	// SumsApart has a normalisation compute its statistics from the stored result of a convolution.
	// Otherwise the convolution computes them as it writes, wherever that is faster. It exists to
	// measure the difference.
	SumsApart bool

	// TF32 lets cuDNN's convolutions round float32 operands to a 10-bit mantissa.
	TF32 bool

	// Normalized is the group of processes that normalise their batches as one, by the statistics of
	// all of them (SyncBatchNorm). The zero value normalises each batch alone. CPU only.
	Normalized Group

	// Standard restricts the graph to standard operators, for tools that support no others, and
	// makes it slower. Block must be 0.
	Standard bool

	body   *[]*Node // receives new nodes: Nodes, or the body of an open composite
	prefix string
	count  map[string]int
	names  map[string]*Value
	once   map[Key]*Value
	last   *Value // of the last collective
}

// Output is a value and its name outside the graph.
type Output struct {
	Name  string
	Value *Value
}

// Value is one tensor of a graph. Shape is logical: a value in the NCHWc or NHWC layout has shape
// [N, C, H, W] whatever its memory layout.
type Value struct {
	Name   string
	Type   tensor.DType
	Shape  []int
	Layout tensor.Layout
	Node   *Node          // what computes it; nil for an input or a constant
	Data   *tensor.Tensor // of a constant
}

// Node is one operator. A composite (Domain DomainComposite) stands for the
// nodes of its Body and has a gradient rule of its own, as a fused layer does.
type Node struct {
	Op      string
	Domain  string
	Name    string
	Inputs  []*Value // nil marks an optional input that is left out
	Outputs []*Value
	Attrs   []Attr // sorted by name
	Body    []*Node
	Saved   map[string]*Value // what a composite's forward pass keeps for its gradient
	Caller  string            // file:line that created the node, outside the building packages
}

// Attr is an attribute of a node: an int, float32, string or []int.
type Attr struct {
	Name  string
	Value any
}

// Error names the operator that could not be built, and the caller that requested it.
type Error struct {
	Op, Node, Caller, Reason string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s: cannot build %s (node %s): %s", e.Caller, e.Op, e.Node, e.Reason)
}

// Build runs f on a new graph and returns it, or the *Error that f ran into.
func Build(name string, f func(*Graph)) (g *Graph, err error) {
	g = New(name)
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(*Error)
			if !ok {
				panic(r)
			}
			g, err = nil, e
		}
	}()
	f(g)
	return g, nil
}

// New returns an empty graph. Its methods panic with *Error: see Build.
func New(name string) *Graph {
	g := &Graph{Name: name, count: map[string]int{}, names: map[string]*Value{}, once: map[Key]*Value{}}
	g.body = &g.Nodes
	return g
}

// Input declares a graph input.
func (g *Graph) Input(name string, t tensor.DType, shape ...int) *Value {
	v := g.named(&Value{Name: name, Type: t, Shape: shape})
	g.Inputs = append(g.Inputs, v)
	return v
}

// Output makes v a graph output under a name. A value may be an output under several names, and an
// input may be an output.
func (g *Graph) Output(name string, v *Value) {
	for _, o := range g.Outputs {
		if o.Name == name {
			g.fail("Output", name, "an output of that name exists")
		}
	}
	if v.Layout != tensor.Plain {
		g.fail("Output", name, "the value is in the %v layout", v.Layout)
	}
	g.Outputs = append(g.Outputs, Output{name, v})
}

// Lookup returns the input or constant of that name, or nil.
func (g *Graph) Lookup(name string) *Value { return g.names[name] }

// Prefix prepends "prefix/" to the names of what f builds, for profiles and error messages.
func (g *Graph) Prefix(prefix string, f func()) {
	old := g.prefix
	g.prefix = old + prefix + "/"
	f()
	g.prefix = old
}

// Composite builds body as the inside of one node with a gradient rule of its
// own. body returns the node's outputs; save keeps values for the gradient.
func (g *Graph) Composite(op string, attrs []Attr, inputs []*Value, body func(save func(string, *Value)) []*Value) []*Value {
	n := &Node{Op: op, Domain: DomainComposite, Name: g.unique(op), Inputs: inputs,
		Attrs: sorted(attrs), Saved: map[string]*Value{}, Caller: caller()}
	outer := g.body
	g.body = &n.Body
	inner := body(func(key string, v *Value) { n.Saved[key] = v })
	g.body = outer
	*g.body = append(*g.body, n)
	for _, v := range inner {
		if v.Node == nil || !slices.Contains(n.Body, v.Node) {
			g.fail(op, n.Name, "the body returns %s, which it does not compute", v.Name)
		}
		v.Node = n
	}
	n.Outputs = inner
	return inner
}

// Key identifies a value derived from another: what it was made of, and how.
type Key struct {
	Of   *Value
	Made string
}

// Once returns what make built when first called with the key, so that values derived from one with
// many uses, such as weights, are computed once.
func (g *Graph) Once(key Key, make func() *Value) *Value {
	if g.once[key] == nil {
		g.once[key] = make()
	}
	return g.once[key]
}

// op appends a node and returns its outputs, whose types and shapes the caller has inferred. All
// nodes but composites enter a graph here.
func (g *Graph) op(domain, op string, attrs []Attr, inputs []*Value, outputs ...*Value) []*Value {
	n := &Node{Op: op, Domain: domain, Name: g.unique(op), Inputs: inputs,
		Outputs: outputs, Attrs: sorted(attrs), Caller: caller()}
	for i, v := range outputs {
		v.Node, v.Name = n, n.Name
		if i > 0 {
			v.Name = fmt.Sprintf("%s.%d", n.Name, i)
		}
	}
	*g.body = append(*g.body, n)
	return outputs
}

// op1 is op for a node of the default domain with one output.
func (g *Graph) op1(op string, attrs []Attr, inputs []*Value, t tensor.DType, shape []int) *Value {
	return g.op("", op, attrs, inputs, &Value{Type: t, Shape: slices.Clone(shape)})[0]
}

func (g *Graph) unique(op string) string {
	base := g.prefix + strings.ToLower(op)
	g.count[base]++
	return fmt.Sprintf("%s_%d", base, g.count[base])
}

func (g *Graph) named(v *Value) *Value {
	if g.names[v.Name] != nil {
		g.fail("Input", v.Name, "a value of that name exists")
	}
	g.names[v.Name] = v
	return v
}

func (g *Graph) fail(op, node, format string, args ...any) {
	panic(&Error{Op: op, Node: node, Caller: caller(), Reason: fmt.Sprintf(format, args...)})
}

// Fail panics with an *Error for the node that was about to be built.
func (g *Graph) Fail(op, format string, args ...any) {
	g.fail(op, g.prefix+strings.ToLower(op), format, args...)
}

// plain fails unless all values are row-major in the order of their shape.
func (g *Graph) plain(op string, values ...*Value) {
	for _, v := range values {
		if v.Layout != tensor.Plain {
			g.Fail(op, "%s is in the %v layout", v.Name, v.Layout)
		}
	}
}

func sorted(attrs []Attr) []Attr {
	slices.SortFunc(attrs, func(a, b Attr) int { return strings.Compare(a.Name, b.Name) })
	return attrs
}

// layers are the packages that caller skips: this one, and those that build one layer from several
// operators.
var layers = []string{"vicreg/models/graph.", "vicreg/models/grad.", "vicreg/models/nn."}

// caller returns the file and line that requested an operator: the first frame outside layers, or
// in one of their tests.
func caller() string {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		f, more := frames.Next()
		inside := func(layer string) bool { return strings.HasPrefix(f.Function, layer) }
		if !slices.ContainsFunc(layers, inside) || strings.HasSuffix(f.File, "_test.go") || !more {
			return fmt.Sprintf("%s:%d", filepath.Base(f.File), f.Line)
		}
	}
}

// Attr returns the attribute of that name, or nil.
func (n *Node) Attr(name string) any {
	for _, a := range n.Attrs {
		if a.Name == name {
			return a.Value
		}
	}
	return nil
}

// Key is the operator's name in rule tables: "Conv", "com.microsoft.FusedMatMul".
func (n *Node) Key() string {
	if n.Domain == "" {
		return n.Op
	}
	return n.Domain + "." + n.Op
}

// Memory is the shape of a value as the runtime sees it: [N, H, W, C] for an NHWC value, and the
// logical shape otherwise, as the NCHWc layout is internal to the kernels that use it.
func (v *Value) Memory() []int {
	if v.Layout != tensor.NHWC {
		return v.Shape
	}
	return []int{v.Shape[0], v.Shape[2], v.Shape[3], v.Shape[1]}
}

// Dim is the size of axis i; a negative i counts from the end.
func (v *Value) Dim(i int) int {
	if i < 0 {
		i += len(v.Shape)
	}
	return v.Shape[i]
}

// Rank is the number of axes.
func (v *Value) Rank() int { return len(v.Shape) }

// Elements is the product of the dimensions.
func (v *Value) Elements() int { return tensor.Elements(v.Shape) }
