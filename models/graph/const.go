package graph

import (
	"fmt"
	"strings"

	"vicreg/models/tensor"
)

// Const adds an initialiser under a name. A second call with the same name returns the first one's
// value without calling make, so a constant that is determined by its name is built and stored
// once.
func (g *Graph) Const(name string, make func() *tensor.Tensor) *Value {
	if v := g.names[name]; v != nil {
		if v.Data == nil {
			g.fail("Const", name, "an input has that name")
		}
		return v
	}
	t := make()
	v := g.named(&Value{Name: name, Type: t.Type, Shape: t.Shape, Data: t})
	g.Consts = append(g.Consts, v)
	return v
}

// Float is a float32 scalar of shape [].
func (g *Graph) Float(x float64) *Value {
	return g.Const(fmt.Sprintf("f32(%g)", float32(x)), func() *tensor.Tensor {
		return &tensor.Tensor{Type: tensor.Float32, Shape: []int{}, Data: []float32{float32(x)}}
	})
}

// Like is the scalar x in the type of v.
func (g *Graph) Like(v *Value, x float64) *Value { return g.Cast(g.Float(x), v.Type) }

// Ints is an int64 list of shape [len].
func (g *Graph) Ints(xs ...int) *Value {
	name := "i64" + strings.ReplaceAll(fmt.Sprint(xs), " ", ",")
	return g.Const(name, func() *tensor.Tensor {
		data := make([]int64, len(xs))
		for i, x := range xs {
			data[i] = int64(x)
		}
		return tensor.Of(data)
	})
}

// Full is a float32 tensor of one repeated value.
func (g *Graph) Full(x float64, shape ...int) *Value {
	name := fmt.Sprintf("full(%g,%s)", float32(x), strings.ReplaceAll(fmt.Sprint(shape), " ", ","))
	return g.Const(name, func() *tensor.Tensor {
		t := tensor.New(tensor.Float32, shape...)
		for i := range t.Float32() {
			t.Float32()[i] = float32(x)
		}
		return t
	})
}
