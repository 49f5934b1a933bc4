package ort_test

import (
	"fmt"
	"math"
	"testing"

	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
)

// Sums of two tensors of the activations' type are exact up to the rounding of float32.
func TestSums(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	for _, typ := range activations {
		r, shapes := seeded(), append(variableShapes(), []int{3, 5461}, []int{8193})
		var x, z, want []array
		for _, s := range shapes {
			a, b, sum := random(r, typ, s...), random(r, typ, s...), zeros(s...)
			for k := range sum.data {
				sum.data[k] = a.data[k] + b.data[k]
			}
			x, z, want = append(x, a), append(z, b), append(want, sum)
		}
		c := newCustom(typ)
		got := c.node("Sums", c.giveList("x", x)+" "+c.giveList("z", z), c.wantList("Y", shapes)).run(t)
		for i, w := range want {
			near(t, fmt.Sprint(typ, " sum ", i), got[fmt.Sprint("Y", i)], w, 1e-7)
		}
	}
}

// Sums of float16 may exceed its range.
func TestLargeSums(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	x, want := array{[]int{9}, make([]float64, 9)}, zeros(9)
	for i := range x.data {
		x.data[i], want.data[i] = 65504, 2*65504
	}
	got := newCustom(f16).give("x", x).give("z", x).node("Sums", "x z", "Y").want("Y", 9).run(t)
	near(t, "sum", got["Y"], want, 0)
}

// Halves are rounded to nearest, ties to even, and are infinite beyond the range; NaN stays NaN.
func TestHalves(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	for _, typ := range []tensor.DType{f16, bf16} {
		r, shapes := seeded(), append(variableShapes(), []int{3, 5461}, []int{8193})
		var x, want []array
		for _, s := range shapes {
			a, h := random(r, f32, s...), zeros(s...)
			for k := range a.data {
				a.data[k] = float64(float32(math.Ldexp(a.data[k], k%40-28)))
				h.data[k] = fromHalf(typ, toHalf(typ, a.data[k]))
			}
			x, want = append(x, a), append(want, h)
		}
		for k, v := range edges[typ] {
			last := len(x[1].data) - 1 // which belongs to no vector
			x[3].data[k], want[3].data[k] = v[0], v[1]
			x[1].data[last-k], want[1].data[last-k] = v[0], v[1]
		}
		c := newCustom(typ).give("like", zeros(1))
		got := c.node("Halves", "like "+c.giveList("X", x), c.wantList("y", shapes)).runs(t)[1]
		for i, w := range want {
			y := got[fmt.Sprint("y", i)]
			for k, v := range w.data {
				if y.data[k] != v && y.data[k] == y.data[k] || (v == v) != (y.data[k] == y.data[k]) {
					t.Fatalf("%v, tensor %d: element %d of %v is %g, want %g of %g", typ, i, k, w.shape, y.data[k], v, x[i].data[k])
				}
			}
		}
	}
}

// edges are pairs of a number and its half-precision value.
var edges = map[tensor.DType][][2]float64{
	f16: {{1e6, math.Inf(1)}, {math.Inf(-1), math.Inf(-1)}, {math.NaN(), math.NaN()}, {0x1p-25, 0}, {0x1.8p-25, 0x1p-24}},
	bf16: {{math.MaxFloat32, math.Inf(1)}, {math.Inf(-1), math.Inf(-1)}, {math.NaN(), math.NaN()}, {1e6, 999424}, {-1 - 0x1p-8, -1}, {1 + 0x3p-8, 1 + 0x1p-6},
		{0x1p-134, 0}, {0x3p-134, 0x1p-132}},
}

// Lists that do not match are rejected, as with the other operators.
func TestWrongSums(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	wrongLists(t, []wrongList{
		{"Sums", "A A B", "Y", "3 tensors are not 2 for each variable"},
		{"Sums", "A B B A", "Y Z", "tensor 2 is not of the shape of its variable"},
		{"Sums", "A B A B", "Y", "an output is left out"},
		{"Halves", "like A B", "y", "an output is left out"},
	})
}
