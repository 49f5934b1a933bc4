package ort_test

import (
	"fmt"
	"strings"
	"testing"

	"vicreg/models/onnx"
	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/ort/standin"
	"vicreg/models/tensor"
)

// The search times the fast kernel more often than the slow one, which one time shows
// to be no match, and runs one for which there is no hope once. Those that cuDNN keeps for
// want of others are asked for where there are few: float32 may not use tensor cores here.
func TestConvSearchIsShort(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	const fallback, fast, slow, hopeless = "heuristics 2\n", "engine 3\n", "engine 4\n", "engine 5\n"
	// What is chosen is taken in two runs.
	for dtype, want := range map[tensor.DType]map[string]int{
		f16: {fallback: 0, fast: 1 + 3 + 2, slow: 1 + 1, hopeless: 1},
		f32: {fallback: 1, fast: 0, slow: 2*(1+3) + 2, hopeless: 2},
	} {
		c := convCases[0]
		r := seeded()
		newCustom(dtype).give("x", random(r, dtype, c.x[:]...)).give("w", random(r, dtype, c.w[:]...)).
			want("y", c.x[0], c.out[0], c.out[1], c.w[0]).node("Conv", "x w", "y", c.attributes()...).run(t)
		log := asked(t)
		for line, n := range want {
			if got := strings.Count(log, line); got != n {
				t.Errorf("%v: %q %d times, want %d:\n%s", dtype, line, got, n, log)
			}
		}
	}
}

// A search ends with the first kernel for which there is no hope, once it has seen some.
func TestConvSearchEnds(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	t.Setenv(standin.EnvNaive, "12")
	c := convCases[0]
	r := seeded()
	newCustom(f16).give("x", random(r, f16, c.x[:]...)).give("w", random(r, f16, c.w[:]...)).
		want("y", c.x[0], c.out[0], c.out[1], c.w[0]).node("Conv", "x w", "y", c.attributes()...).run(t)
	// The candidates are one that fails, the fast, the slow, and thirteen of these.
	if log := asked(t); strings.Count(log, "engine 5\n") != 9-3 {
		t.Errorf("asked of cuDNN:\n%s", log)
	}
}

// stackOfConvs is a step of n convolutions, no two of which are of one shape. Its state
// is the first weights, which stay as they are, and what comes out.
func stackOfConvs(n int) (m *custom, state []string) {
	r := seeded()
	m = newCustom(f16).give("x", random(r, f16, 1, 2, 2, 8)).give("w0", random(r, f16, 9, 1, 1, 8)).give("Rate", zeros(1)).
		want("w0.next", 9, 1, 1, 8).want("Loss", 1)
	a := []*onnx.AttributeProto{onnx.Ints("pads", 0, 0), onnx.Int("stride", 1)}
	in, channels := "x", 8
	for i := range n {
		w, out := fmt.Sprint("w", i), fmt.Sprint("y", i)
		if i > 0 {
			m.give(w, random(r, f16, channels+1, 1, 1, channels))
		}
		channels++
		if i == n-1 {
			out = "y.next"
			m.give("y", zeros(1, 2, 2, channels)).want(out, 1, 2, 2, channels)
		} else {
			m.value(f16, out, 1, 2, 2, channels)
		}
		m.node("Conv", in+" "+w, out, a...)
		in = out
	}
	m.builder.node("Identity", "Loss", "Rate").node("Identity", "w0.next", "w0")
	return m, []string{"w0", "y"}
}

// The memory of searches goes back to the device: however many there are, the session
// keeps the workspace of one convolution, and of another where the arena puts small
// tensors in between.
func TestConvSearchesGiveMemoryBack(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	const workspace = 8 << 20
	t.Setenv(standin.EnvWorkspace, fmt.Sprint(workspace))
	for _, capture := range []bool{false, true} {
		m, names := stackOfConvs(6)
		s := orttest.Session(t, m.model(), ort.Options{Device: cuda, Capture: capture})
		state, start := []ort.Variable{}, map[string]*tensor.Tensor{}
		for _, name := range names {
			state = append(state, ort.Variable{In: name, Out: name + ".next"})
			start[name] = m.in[name]
			delete(m.in, name)
		}
		st, err := ort.NewStepper(s, ort.StepperConfig{State: state})
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		if err := st.Restore(start); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			if _, err := st.Step(m.in); err != nil {
				t.Fatal(err)
			}
			st.Accept()
		}
		if n := strings.Count(asked(t), "heuristics 1\n"); n != 6 {
			t.Errorf("%d searches", n)
		}
		if bytes, err := st.DeviceMemory(); err != nil || bytes < workspace || bytes >= 3*workspace {
			t.Errorf("capture %v: the session holds %d bytes, %v", capture, bytes, err)
		}
	}
}

// A kernel that there is no memory for is passed over, and leaves no error behind.
func TestConvSearchWithLittleMemory(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	t.Setenv(standin.EnvWorkspace, fmt.Sprint(256<<20))
	t.Setenv(standin.EnvMemory, fmt.Sprint(128<<20))
	c := convCases[0]
	r := seeded()
	x, w, y := random(r, f16, c.x[:]...), random(r, f16, c.w[:]...), zeros(c.x[0], c.out[0], c.out[1], c.w[0])
	c.products(x, w, y, func(i, j, k int) { y.data[k] += x.data[i] * w.data[j] })
	got := newCustom(f16).give("x", x).give("w", w).want("y", y.shape...).want("twice", y.shape...).
		node("Conv", "x w", "y", c.attributes()...)
	got.builder.node("Add", "twice", "y", "y")           // which looks for errors
	near(t, "y", got.runs(t)[0]["y"], y, tolerance(f16)) // what the Add gives is undefined on the stand-in
	if log := asked(t); strings.Contains(log, "engine 3\n") || !strings.Contains(log, "engine 4\n") {
		t.Errorf("asked of cuDNN:\n%s", log)
	}
}
