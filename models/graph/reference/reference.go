// Package reference evaluates graphs in float64, one operator at a time, with plain loops: slow,
// and independent of ONNX Runtime and of how package grad formulates a gradient. On request it
// rounds the result of each operator to its type in the graph. The tests of several packages
// compare against it; nothing in the product imports it.
package reference

import (
	"fmt"
	"slices"

	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// array is the memory of one value: row-major, except that a value in the NCHWc layout keeps its
// logical shape while its data are in blocks of channels. One in the NHWC layout has the shape of
// its memory, [N, H, W, C]. Integers and bools are float64, too, which represents all that graphs
// use exactly.
type array struct {
	shape []int
	data  []float64
}

func zeros(shape ...int) array {
	return array{slices.Clone(shape), make([]float64, tensor.Elements(shape))}
}

// call is one node with the arrays of its inputs; one left out has nil data.
type call struct {
	*graph.Node
	in []array
	run
}

// run is one evaluation of a graph.
type run struct {
	values map[*graph.Value]array
	block  int
	round  bool
}

// Run evaluates g on its inputs, by name and in row-major order, and returns its outputs by name. A
// symbolic dimension is inferred from the number of elements. Every result is checked against the
// shape that the graph inferred, so that a wrong shape rule is an error, as are a missing input,
// one of the wrong length and an unknown operator.
func Run(g *graph.Graph, inputs map[string][]float64) (map[string][]float64, error) {
	return evaluateGraph(g, inputs, false)
}

// Rounded is Run with every result rounded to the type of its value, float32 or half precision. As
// on a device that accumulates in a wider type, nothing is rounded within an operator, except that
// products of float32 matrices round their factors to TF32, as a GPU does by default.
func Rounded(g *graph.Graph, inputs map[string][]float64) (map[string][]float64, error) {
	return evaluateGraph(g, inputs, true)
}

func evaluateGraph(g *graph.Graph, inputs map[string][]float64, round bool) (map[string][]float64, error) {
	values := map[*graph.Value]array{}
	for _, v := range g.Inputs {
		a, err := bind(v, inputs[v.Name])
		if err != nil {
			return nil, fmt.Errorf("evaluate graph %s: %w", g.Name, err)
		}
		values[v] = a
	}
	for _, v := range g.Consts {
		values[v] = array{v.Shape, floats(v.Data)}
	}
	r := run{values, g.Block, round}
	if err := r.evaluate(g.Nodes); err != nil {
		return nil, fmt.Errorf("evaluate graph %s: %w", g.Name, err)
	}
	out := map[string][]float64{}
	for _, o := range g.Outputs {
		out[o.Name] = slices.Clone(values[o.Value].data)
	}
	return out, nil
}

// bind assigns data to an input and resolves its symbolic dimension.
func bind(v *graph.Value, data []float64) (array, error) {
	shape, known, open := slices.Clone(v.Shape), 1, -1
	for i, d := range shape {
		if d < 0 {
			open = i
			continue
		}
		known *= d
	}
	if open >= 0 {
		shape[open] = len(data) / max(known, 1)
	}
	if tensor.Elements(shape) != len(data) || data == nil {
		return array{}, fmt.Errorf("input %s%v: given %d elements", v.Name, v.Shape, len(data))
	}
	return array{shape, slices.Clone(data)}, nil
}

// evaluate runs nodes in order; a composite runs its body, which computes its outputs.
func (r run) evaluate(nodes []*graph.Node) error {
	for _, n := range nodes {
		if n.Domain == graph.DomainComposite {
			if err := r.evaluate(n.Body); err != nil {
				return err
			}
			continue
		}
		results, err := r.apply(n)
		if err != nil {
			return fmt.Errorf("node %s (%s, from %s): %w", n.Name, n.Key(), n.Caller, err)
		}
		for i, v := range n.Outputs {
			if !fits(results[i].shape, v.Memory()) {
				return fmt.Errorf("node %s (%s, from %s): result %d has shape %v, the graph says %v",
					n.Name, n.Key(), n.Caller, i, results[i].shape, v.Memory())
			}
			if r.values[v] = results[i]; r.round {
				r.values[v] = rounded(results[i], v.Type)
			}
		}
	}
	return nil
}

// apply runs one operator. A malformed node makes an operator panic, typically with an index out of
// range; apply returns that as an error.
func (r run) apply(n *graph.Node) (results []array, err error) {
	op, ok := ops[n.Key()]
	if !ok {
		return nil, fmt.Errorf("unknown operator")
	}
	c := &call{Node: n, run: r}
	for i, v := range n.Inputs {
		a, have := r.values[v]
		if v != nil && !have {
			return nil, fmt.Errorf("input %d, %s, is not computed yet", i, v.Name)
		}
		c.in = append(c.in, a)
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	return op(c), nil
}

// fits reports whether a result has the inferred shape, symbolic dimensions aside.
func fits(got, want []int) bool {
	return slices.EqualFunc(got, want, func(g, w int) bool { return w < 0 || g == w })
}

// floats converts the data of a constant.
func floats(t *tensor.Tensor) []float64 {
	switch d := t.Data.(type) {
	case []float64:
		return d
	case []float32:
		return convert(d)
	case []int64:
		return convert(d)
	case []int32:
		return convert(d)
	case []uint8:
		return convert(d)
	case []int8:
		return convert(d)
	case []uint16:
		out := make([]float64, len(d))
		for i, bits := range d {
			out[i] = half(t.Type, bits)
		}
		return out
	case []bool:
		out := make([]float64, len(d))
		for i, b := range d {
			out[i] = truth(b)
		}
		return out
	}
	panic(fmt.Sprintf("reference: constant of type %v", t.Type))
}

func convert[T float32 | int64 | int32 | uint8 | int8](d []T) []float64 {
	out := make([]float64, len(d))
	for i, x := range d {
		out[i] = float64(x)
	}
	return out
}

// ints is an input as a list of integers.
func (c *call) ints(i int) []int {
	out := make([]int, len(c.in[i].data))
	for j, x := range c.in[i].data {
		out[j] = int(x)
	}
	return out
}

func (c *call) int(name string, missing int) int {
	if v, ok := c.Attr(name).(int); ok {
		return v
	}
	return missing
}

func (c *call) float(name string, missing float64) float64 {
	if v, ok := c.Attr(name).(float32); ok {
		return float64(v)
	}
	return missing
}

// present reports whether an optional input is given.
func (c *call) present(i int) bool { return i < len(c.in) && c.in[i].data != nil }
