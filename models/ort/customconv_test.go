package ort_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"vicreg/models/onnx"
	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
)

// convCase is one convolution: x [N,H,W,C], w [M,KH,KW,C].
type convCase struct {
	x, w        [4]int
	pads        [2]int
	stride      int
	out         [2]int // OH, OW
	description string
}

var convCases = []convCase{
	{[4]int{2, 5, 7, 4}, [4]int{6, 1, 1, 4}, [2]int{0, 0}, 1, [2]int{5, 7}, "1x1"},
	{[4]int{2, 5, 7, 4}, [4]int{6, 1, 1, 4}, [2]int{0, 0}, 2, [2]int{3, 4}, "1x1, stride 2"},
	{[4]int{2, 6, 4, 4}, [4]int{6, 1, 1, 4}, [2]int{0, 0}, 2, [2]int{3, 2}, "1x1, stride 2, the last pixels unseen"},
	{[4]int{2, 6, 5, 3}, [4]int{4, 3, 3, 3}, [2]int{1, 1}, 1, [2]int{6, 5}, "3x3"},
	{[4]int{2, 6, 5, 3}, [4]int{4, 3, 3, 3}, [2]int{1, 1}, 2, [2]int{3, 3}, "3x3, stride 2, a row over"},
	{[4]int{1, 13, 12, 3}, [4]int{4, 7, 7, 3}, [2]int{3, 3}, 2, [2]int{7, 6}, "7x7, stride 2"},
	{[4]int{1, 4, 6, 2}, [4]int{3, 3, 2, 2}, [2]int{1, 0}, 1, [2]int{4, 5}, "unlike axes"},
}

// products calls f with the indices into x, w and y of every product of the convolution.
func (c convCase) products(x, w, y array, f func(x, w, y int)) {
	for i := range y.data {
		m, ow, oh, n := i%c.w[0], i/c.w[0]%c.out[1], i/c.w[0]/c.out[1]%c.out[0], i/c.w[0]/c.out[1]/c.out[0]
		for j := range c.w[1] * c.w[2] * c.w[3] {
			ch, kw, kh := j%c.w[3], j/c.w[3]%c.w[2], j/c.w[3]/c.w[2]
			if p, inside := x.at(n, oh*c.stride-c.pads[0]+kh, ow*c.stride-c.pads[1]+kw, ch); inside {
				f(p, m*c.w[1]*c.w[2]*c.w[3]+j, i)
			}
		}
	}
}

// attributes returns those that the three operators share, and more.
func (c convCase) attributes(more ...*onnx.AttributeProto) []*onnx.AttributeProto {
	return append(more, onnx.Ints("pads", int64(c.pads[0]), int64(c.pads[1])), onnx.Int("stride", int64(c.stride)))
}

func TestConvOnCuDNN(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	for _, c := range convCases {
		for _, typ := range activations {
			t.Run(fmt.Sprint(c.description, ", ", typ), func(t *testing.T) { testConv(t, c, typ) })
		}
	}
}

func testConv(t *testing.T, c convCase, typ tensor.DType) {
	r := seeded()
	yShape := []int{c.x[0], c.out[0], c.out[1], c.w[0]}
	x, w, dy := random(r, typ, c.x[:]...), random(r, typ, c.w[:]...), random(r, typ, yShape...)
	y, dx, dw := zeros(yShape...), zeros(c.x[:]...), zeros(c.w[:]...)
	c.products(x, w, y, func(i, j, k int) {
		y.data[k] += x.data[i] * w.data[j]
		dx.data[i] += dy.data[k] * w.data[j]
		dw.data[j] += dy.data[k] * x.data[i]
	})
	got := newCustom(typ).give("x", x).give("w", w).give("dy", dy).
		want("y", yShape...).want("dx", c.x[:]...).want("dw", c.w[:]...).
		node("Conv", "x w", "y", c.attributes()...).
		node("ConvInputGrad", "dy w", "dx", c.attributes(onnx.Ints("size", int64(c.x[1]), int64(c.x[2])))...).
		node("ConvWeightGrad", "dy x", "dw", c.attributes(onnx.Ints("kernel", int64(c.w[1]), int64(c.w[2])))...).run(t)
	near(t, "y", got["y"], y, tolerance(typ))
	near(t, "dx", got["dx"], dx, tolerance(typ))
	near(t, "dw", got["dw"], dw, tolerance(typ))
}

// A float32 convolution rounds its operands only if it may, and then uses the kernel that is
// faster for it.
func TestConvTF32(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	c := convCases[0]
	r := seeded()
	x, w, y := random(r, f32, c.x[:]...), random(r, f32, c.w[:]...), zeros(c.x[0], c.out[0], c.out[1], c.w[0])
	c.products(x, w, y, func(i, j, k int) { y.data[k] += x.data[i] * w.data[j] })
	got := newCustom(f32).give("x", x).give("w", w).want("exact", y.shape...).want("rounded", y.shape...).
		node("Conv", "x w", "exact", c.attributes(onnx.Int("tf32", 0))...).
		node("Conv", "x w", "rounded", c.attributes(onnx.Int("tf32", 1))...).run(t)
	near(t, "exact", got["exact"], y, 1e-6)
	near(t, "rounded", got["rounded"], y, 1e-3)
	worst := 0.0
	for i, v := range got["rounded"].data {
		worst = max(worst, math.Abs(v-y.data[i]))
	}
	if worst < 1e-5 {
		t.Errorf("with tf32 the error is %g: the operands were not rounded", worst)
	}
}

// Equal convolutions of a session are searched for once, a second run searches for nothing, and
// closing the session frees everything.
func TestConvPlansAreShared(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	c := convCases[2]
	r := seeded()
	m := newCustom(f16).give("x", random(r, f16, c.x[:]...)).give("w", random(r, f16, c.w[:]...)).give("v", random(r, f16, c.w[:]...))
	for _, out := range []string{"a", "b", "c"} {
		m.want(out, c.x[0], c.out[0], c.out[1], c.w[0])
	}
	m.node("Conv", "x w", "a", c.attributes()...).node("Conv", "x v", "b", c.attributes()...).node("Conv", "x w", "c", c.attributes()...)
	b, err := onnx.Marshal(m.model())
	if err != nil {
		t.Fatal(err)
	}
	s, err := orttest.Open(t).NewSession(b, ort.Options{Device: cuda})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := s.Run(m.in); err != nil {
			t.Fatal(err)
		}
	}
	if log := asked(t); strings.Count(log, "heuristics 1\n") != 1 || strings.Contains(log, "no descriptor is left") {
		t.Errorf("searches for three equal convolutions:\n%s", log)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if log := asked(t); log != "no descriptor is left\n" {
		t.Errorf("closing the session: %q", log)
	}
}

// A step of our own operators can be captured: all searching, allocating and waiting is done in
// the first run, and the runtime makes two before it captures.
func TestCaptureOnCuDNN(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	a := []*onnx.AttributeProto{onnx.Float("eps", eps), onnx.Int("relu", 1)}
	t.Run("Conv and BatchNorm", func(t *testing.T) {
		c := convCases[2]
		testCapture(t, c, 2, func(m *custom) {
			m.node("Conv", "x w", "y", c.attributes()...).node("BatchNorm", "y Gamma Beta", "z Mean Variance Istd", a...)
		})
	})
	t.Run("ConvMoments and Normalize", func(t *testing.T) {
		c := momentsCases[0]
		testCapture(t, c, 3, func(m *custom) {
			m.node("ConvMoments", "x w", "y Mean Variance Istd", c.attributes(onnx.Float("eps", eps))...).
				node("Normalize", "y Gamma Beta Mean Istd", "z", a...)
		})
	})
}

// testCapture runs steps of a layer, which take this many searches in all.
func testCapture(t *testing.T, c convCase, searches int, forward func(*custom)) {
	r := seeded()
	x, w, g := random(r, f16, c.x[:]...), random(r, f16, c.w[:]...), random(r, f32, c.w[0])
	y := []int{c.x[0], c.out[0], c.out[1], c.w[0]}
	m := newCustom(f16).give("x", x).give("w", w).give("Gamma", g).give("Beta", g).give("Rate", zeros(1)).
		want("w.next", c.w[:]...).want("Gamma.next", c.w[0]).want("Beta.next", c.w[0]).want("Loss", 1)
	for _, name := range []string{"y", "z", "dy"} {
		m.value(f16, name, y...)
	}
	for _, name := range []string{"Mean", "Variance", "Istd"} {
		m.value(f32, name, c.w[0])
	}
	a := []*onnx.AttributeProto{onnx.Float("eps", eps), onnx.Int("relu", 1)}
	forward(m)
	m.node("BatchNormGrad", "z - y Gamma Beta Mean Istd", "dy Gamma.next Beta.next", a...).
		node("ConvWeightGrad", "dy x", "w.next", c.attributes(onnx.Ints("kernel", int64(c.w[1]), int64(c.w[2])))...)
	m.builder.node("Identity", "Loss", "Rate")
	s := orttest.Session(t, m.model(), ort.Options{Device: cuda, Capture: true})
	var state []ort.Variable
	for _, name := range []string{"w", "Gamma", "Beta"} {
		state = append(state, ort.Variable{In: name, Out: name + ".next"})
	}
	st, err := ort.NewStepper(s, ort.StepperConfig{State: state})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if err := st.Restore(map[string]*tensor.Tensor{"w": m.in["w"], "Gamma": m.in["Gamma"], "Beta": m.in["Beta"]}); err != nil {
		t.Fatal(err)
	}
	asked(t)
	var logs []string
	for range 4 {
		if _, err := st.Step(tensor.Batch{"x": m.in["x"], "Rate": m.in["Rate"]}); err != nil {
			t.Fatal(err)
		}
		st.Accept()
		logs = append(logs, asked(t))
	}
	// Each of the two sets of the state is captured once.
	if n := strings.Count(logs[0], "heuristics 1\n"); n != searches || strings.Contains(strings.Join(logs[1:], ""), "heuristics") || logs[2]+logs[3] != "" {
		t.Errorf("asked of cuDNN, by step: %q", logs)
	}
}
