package reference

import (
	"math"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/tensor"
)

func TestRounding(t *testing.T) {
	inf := math.Inf(1)
	for _, c := range []struct {
		t       tensor.DType
		x, want float64
	}{
		{tensor.Float16, 1 + 1./2048, 1}, {tensor.Float16, 1 + 3./2048, 1 + 2./1024}, // ties to even
		{tensor.Float16, 65519, 65504}, {tensor.Float16, 65520, inf}, {tensor.Float16, -1e9, -inf},
		{tensor.Float16, 0x1p-24, 0x1p-24}, {tensor.Float16, 0x1p-25, 0}, {tensor.Float16, 0x1.8p-25, 0x1p-24},
		{tensor.BFloat16, 1 + 1./256, 1}, {tensor.BFloat16, 1 + 3./256, 1 + 2./128},
		{tensor.Float32, 1 + 0x1p-24, 1}, {tensor.Float32, 1e39, inf}, {tensor.Int64, 123456789, 123456789},
	} {
		if got := rounded(array{[]int{1}, []float64{c.x}}, c.t).data[0]; got != c.want {
			t.Errorf("%v rounds to %v as %v, want %v", c.x, got, c.t, c.want)
		}
	}
}

// Every half-precision number is unchanged by rounding to half precision.
func TestHalfBits(t *testing.T) {
	for bits := range 1 << 16 {
		x := half(tensor.Float16, uint16(bits))
		if y := toDigits(x, 11, -24, 65504); y != x && !math.IsNaN(x) {
			t.Fatalf("%#x is %v, which rounds to %v", bits, x, y)
		}
	}
	for bits, want := range map[uint16]float64{0x3c00: 1, 0xc100: -2.5, 1: 0x1p-24, 0x7bff: 65504, 0x7c00: math.Inf(1)} {
		if got := half(tensor.Float16, bits); got != want {
			t.Errorf("%#x is %v, want %v", bits, got, want)
		}
	}
	if got := half(tensor.BFloat16, 0xc020); got != -2.5 {
		t.Errorf("0xc020 is %v as bfloat16, want -2.5", got)
	}
}

// Only results are rounded: a sum within one operator is exact.
func TestRounded(t *testing.T) {
	g, err := graph.Build("sums", func(g *graph.Graph) {
		x := g.Cast(g.Input("x", tensor.Float32, 3), tensor.Float16)
		g.Output("at once", g.Cast(g.ReduceSum(x, true, 0), tensor.Float32))
		g.Output("one by one", g.Cast(g.Add(g.Add(g.Slice(x, 0, 0, 1), g.Slice(x, 0, 1, 2)), g.Slice(x, 0, 2, 3)), tensor.Float32))
	})
	if err != nil {
		t.Fatal(err)
	}
	in := map[string][]float64{"x": {2048, 1, 1}}
	for f, want := range map[string][2]float64{"Run": {2050, 2050}, "Rounded": {2050, 2048}} {
		out, err := Run(g, in)
		if f == "Rounded" {
			out, err = Rounded(g, in)
		}
		if err != nil || out["at once"][0] != want[0] || out["one by one"][0] != want[1] {
			t.Errorf("%s: %v %v, want %v", f, out, err, want)
		}
	}
}
