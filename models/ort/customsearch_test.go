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

// Entries of the cuDNN stand-in's log.
const (
	bestGuesses, fallbacks                 = "heuristics 1\n", "heuristics 2\n"
	fastEngine, slowEngine, hopelessEngine = "engine 3\n", "engine 4\n", "engine 5\n"
	loopEngine                             = "engine 6\n"
)

// chosenFor runs a convolution twice, and returns what was requested of cuDNN.
func chosenFor(t *testing.T, dtype tensor.DType) string {
	t.Helper()
	c := convCases[0]
	r := seeded()
	newCustom(dtype).give("x", random(r, dtype, c.x[:]...)).give("w", random(r, dtype, c.w[:]...)).
		want("y", c.x[0], c.out[0], c.out[1], c.w[0]).node("Conv", "x w", "y", c.attributes()...).run(t)
	return asked(t)
}

func counts(t *testing.T, log string, want map[string]int) {
	t.Helper()
	for line, n := range want {
		if got := strings.Count(log, line); got != n {
			t.Errorf("%q %d times, want %d:\n%s", line, got, n, log)
		}
	}
}

// The search times the fast kernel more often than the slow one, which one timing rules out, and
// runs a hopeless one once and the last resort never. float32 may not use tensor cores here.
func TestConvSearchIsShort(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	// The chosen kernel is used in two runs.
	counts(t, chosenFor(t, f16), map[string]int{bestGuesses: 1, fallbacks: 0, fastEngine: 1 + 3 + 2, slowEngine: 1 + 1, hopelessEngine: 1, loopEngine: 0})
	counts(t, chosenFor(t, f32), map[string]int{bestGuesses: 1, fallbacks: 0, fastEngine: 0, slowEngine: 1 + 3 + 2, hopelessEngine: 1, loopEngine: 0})
}

// A search ends with the first hopeless kernel, once it has tried enough, and when it has taken
// long enough. The candidates are one that fails, the fast one, the slow one, and thirteen
// hopeless ones.
func TestConvSearchEnds(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	t.Setenv(standin.EnvNaive, "12")
	counts(t, chosenFor(t, f16), map[string]int{hopelessEngine: 9 - 3})
	t.Setenv(standin.EnvNaiveMS, "400")
	counts(t, chosenFor(t, f16), map[string]int{hopelessEngine: 3, fastEngine: 1 + 3 + 2})
}

// Kernels on tensor cores are used with much workspace if there is none with less.
func TestConvSearchTakesWorkspace(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	t.Setenv(standin.EnvWorkspace, fmt.Sprint(1<<30+1))
	counts(t, chosenFor(t, f16), map[string]int{bestGuesses: 2, fastEngine: 1 + 3 + 2})
	counts(t, chosenFor(t, f32), map[string]int{bestGuesses: 1, slowEngine: 1 + 3 + 2})
}

// The last resort is used if there is nothing else.
func TestConvSearchTakesLoops(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	t.Setenv(standin.EnvLoops, "1")
	ort.ConvSearches()
	counts(t, chosenFor(t, f16), map[string]int{loopEngine: 1 + 3 + 2})
	took := ort.ConvSearches()
	if took.Count != 1 || took.Time <= 0 || took.Longest != took.Time || !strings.HasPrefix(took.Sentence(), "chosen for 1 convolutions in ") {
		t.Errorf("searches: %+v", took)
	}
	if again := ort.ConvSearches(); again.Sentence() != "" {
		t.Errorf("searches of before: %+v", again)
	}
}

// stackOfConvs is a step of n convolutions, each of a different shape. Its state is the first
// weights, which do not change, and the output.
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

// Searches return their memory to the device: however many there are, the session keeps the
// workspace of one convolution, and of a second one where the arena places small tensors in
// between.
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

// A kernel that does not fit into memory is skipped, and leaves no error behind.
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
	got.builder.node("Add", "twice", "y", "y")           // which checks for errors
	near(t, "y", got.runs(t)[0]["y"], y, tolerance(f16)) // the Add's output is undefined on the stand-in
	if log := asked(t); strings.Contains(log, "engine 3\n") || !strings.Contains(log, "engine 4\n") {
		t.Errorf("asked of cuDNN:\n%s", log)
	}
}
