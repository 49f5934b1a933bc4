package ort_test

import (
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"vicreg/models/onnx"
	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/ort/standin"
	"vicreg/models/tensor"
)

const f16, bf16, f32 = tensor.Float16, tensor.BFloat16, tensor.Float32

// activations are the types that the operators support.
var activations = []tensor.DType{f32, f16, bf16}

// array is a tensor of any of these types, for the references of these tests.
type array struct {
	shape []int
	data  []float64
}

func zeros(shape ...int) array { return array{shape, make([]float64, tensor.Elements(shape))} }

// at returns the index of the element at [n, h, w, c], and whether h and w are inside the array.
func (a array) at(n, h, w, c int) (i int, inside bool) {
	s := a.shape
	return ((n*s[1]+h)*s[2]+w)*s[3] + c, h >= 0 && w >= 0 && h < s[1] && w < s[2]
}

// random returns numbers of the type in [-1, 1), so that about half are negative.
func random(r *rand.Rand, t tensor.DType, shape ...int) array {
	a := zeros(shape...)
	for i := range a.data {
		a.data[i] = float64(float32(r.Float64()*2 - 1))
		if t.Half() {
			a.data[i] = fromHalf(t, toHalf(t, a.data[i]))
		}
	}
	return a
}

// toHalf returns the bits of the half-precision number nearest to a float32.
func toHalf(t tensor.DType, x float64) uint16 {
	if t == bf16 {
		bits := math.Float32bits(float32(x))
		if up := bits & 0xffff; up > 0x8000 || up == 0x8000 && bits>>16&1 == 1 {
			bits += 0x8000 // a carry goes into the exponent
		}
		return uint16(bits >> 16)
	}
	if x == 0 {
		return 0
	}
	sign := uint16(0)
	if x < 0 {
		sign, x = 0x8000, -x
	}
	_, exponent := math.Frexp(x)
	place := max(exponent-11, -24)
	fraction := uint16(math.RoundToEven(math.Ldexp(x, -place)))
	if fraction < 1024 {
		return sign | fraction
	}
	return sign | (uint16(place+24)<<10 + fraction)
}

func fromHalf(t tensor.DType, h uint16) float64 {
	if t == bf16 {
		return float64(math.Float32frombits(uint32(h) << 16))
	}
	x := math.Ldexp(float64(h&1023), -24)
	switch e := int(h >> 10 & 31); {
	case e == 31 && h&1023 > 0:
		return math.NaN()
	case e == 31:
		x = math.Inf(1)
	case e > 0:
		x = math.Ldexp(float64(1024+h&1023), e-25)
	}
	if h>>15 == 1 {
		return -x
	}
	return x
}

func (a array) tensor(t tensor.DType) *tensor.Tensor {
	out := tensor.New(t, a.shape...)
	for i, x := range a.data {
		switch d := out.Data.(type) {
		case []float32:
			d[i] = float32(x)
		case []uint16:
			d[i] = toHalf(t, x)
		}
	}
	return out
}

func arrayOf(t *tensor.Tensor) array {
	a := zeros(t.Shape...)
	for i := range a.data {
		switch d := t.Data.(type) {
		case []float32:
			a.data[i] = float64(d[i])
		case []uint16:
			a.data[i] = fromHalf(t.Type, d[i])
		}
	}
	return a
}

// custom builds models of our own operators. A name that begins with a capital letter is float32,
// others are of type t.
type custom struct {
	*builder
	t  tensor.DType
	in tensor.Batch
}

func newCustom(t tensor.DType) *custom { return &custom{newBuilder(), t, tensor.Batch{}} }

func (c *custom) typeOf(name string) tensor.DType {
	if name[0] < 'a' {
		return f32
	}
	return c.t
}

func (c *custom) give(name string, a array) *custom {
	c.in[name] = a.tensor(c.typeOf(name))
	c.input(c.typeOf(name), name, a.shape...)
	return c
}

func (c *custom) want(name string, shape ...int) *custom {
	c.output(c.typeOf(name), name, shape...)
	return c
}

// node adds a node; in and out are space-separated names.
func (c *custom) node(op, in, out string, attributes ...*onnx.AttributeProto) *custom {
	words := func(s string) []string {
		w := strings.Fields(s)
		for i := range w {
			w[i] = strings.Trim(w[i], "-") // a dash stands for an omitted one
		}
		return w
	}
	n := &onnx.NodeProto{Name: out, OpType: op, Domain: "vicreg.cuda", Input: words(in), Output: words(out), Attribute: attributes}
	c.g.Node = append(c.g.Node, n)
	return c
}

func (c *custom) model() *onnx.ModelProto {
	m := c.builder.model()
	m.OpsetImport = append(m.OpsetImport, &onnx.OperatorSetIdProto{Domain: "vicreg.cuda", Version: 1})
	return m
}

// run runs the model twice, since a node behaves differently the first time, and checks that both
// results are equal.
func (c *custom) run(t *testing.T) map[string]array {
	t.Helper()
	got := c.runs(t)
	for name, a := range got[0] {
		if !slices.Equal(a.data, got[1][name].data) {
			t.Fatalf("%s is not the same in the second run", name)
		}
	}
	return got[0]
}

// runs returns the outputs of the first two runs.
func (c *custom) runs(t *testing.T) [2]map[string]array {
	t.Helper()
	s := orttest.Session(t, c.model(), ort.Options{Device: cuda})
	placed, err := s.Placement()
	if err != nil {
		t.Fatal(err)
	}
	if strange := ort.Strangers(placed, cuda); len(strange) > 0 {
		t.Fatalf("not on the device: %v", strange)
	}
	var got [2]map[string]array
	for i := range got {
		out, err := s.Run(c.in)
		if err != nil {
			t.Fatal(err)
		}
		got[i] = map[string]array{}
		for name, x := range out {
			got[i][name] = arrayOf(x)
		}
	}
	return got
}

// near compares with a reference; the tolerance is relative to the largest element.
func near(t *testing.T, name string, got, want array, tolerance float64) {
	t.Helper()
	if !slices.Equal(got.shape, want.shape) {
		t.Fatalf("%s is %v, want %v", name, got.shape, want.shape)
	}
	size, worst, at := 0.0, 0.0, 0
	for i, x := range want.data {
		size = max(size, math.Abs(x))
		if d := math.Abs(x - got.data[i]); d > worst || math.IsNaN(d) {
			worst, at = d, i
		}
	}
	if !(worst <= tolerance*size) {
		t.Errorf("%s[%d] = %g, want %g", name, at, got.data[at], want.data[at])
	}
}

// tolerance returns the error of rounding to the type once.
func tolerance(t tensor.DType) float64 {
	return map[tensor.DType]float64{f16: 1.0 / 1024, bf16: 1.0 / 256, f32: 1e-6}[t]
}

func seeded() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// asked reads and empties the log of the stand-in for cuDNN.
func asked(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(os.Getenv(standin.EnvLog))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	os.Remove(os.Getenv(standin.EnvLog))
	return string(b)
}

// pool computes the maximum of each window into y, and returns its gradient for dy.
func pool(x, dy array, y array, k, pad, stride int) (dx array) {
	dx = zeros(x.shape...)
	for i := range y.data {
		c, w, h, n := i%y.shape[3], i/y.shape[3]%y.shape[2], i/y.shape[3]/y.shape[2]%y.shape[1], i/y.shape[3]/y.shape[2]/y.shape[1]
		best := -1
		for j := range k * k {
			p, inside := x.at(n, h*stride-pad+j/k, w*stride-pad+j%k, c)
			if inside && (best < 0 || x.data[p] > x.data[best]) {
				best = p
			}
		}
		y.data[i] = x.data[best]
		dx.data[best] += dy.data[i]
	}
	return dx
}

func TestMaxPool(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	for _, typ := range activations {
		for _, c := range []int{5, 4, 16} {
			r := seeded()
			x, dy, y := random(r, typ, 2, 7, 9, c), random(r, typ, 2, 4, 5, c), zeros(2, 4, 5, c)
			for i := range x.data { // so that there are equal ones, of which the first counts
				x.data[i] = math.Round(4*x.data[i]) / 4
			}
			dx := pool(x, dy, y, 3, 1, 2)
			a := []*onnx.AttributeProto{onnx.Ints("kernel", 3, 3), onnx.Ints("pads", 1, 1), onnx.Int("stride", 2)}
			m := newCustom(typ).give("x", x).give("dy", dy).want("y", y.shape...).want("dx", x.shape...)
			m.value(tensor.Uint8, "Places", y.shape...)
			got := m.node("MaxPool", "x", "y Places", a...).node("MaxPoolGrad", "dy Places", "dx", append(a, onnx.Ints("size", 7, 9))...).run(t)
			near(t, "y", got["y"], y, 0)
			near(t, "dx", got["dx"], dx, tolerance(typ))
		}
	}
}

func TestPixels(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	r := seeded()
	for _, typ := range activations {
		for _, channels := range []int{3, 4, 5} {
			x, scale, shift, want := tensor.New(tensor.Uint8, 2, 7, 50, 3), random(r, f32, 3), random(r, f32, 3), zeros(2, 7, 50, channels)
			for i := range x.Data.([]uint8) {
				v := uint8(r.Uint32())
				x.Data.([]uint8)[i] = v
				want.data[i/3*channels+i%3] = float64(v)*scale.data[i%3] + shift.data[i%3]
			}
			m := newCustom(typ).give("Scale", scale).give("Shift", shift).give("like", zeros(1)).want("y", want.shape...)
			m.input(tensor.Uint8, "Pixels", x.Shape...)
			m.in["Pixels"] = x
			got := m.node("Pixels", "Pixels Scale Shift like", "y", onnx.Int("channels", int64(channels))).run(t)
			near(t, "y", got["y"], want, tolerance(typ))
		}
	}
}
