package ort_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"vicreg/models/onnx"
	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/ort/standin"
	"vicreg/models/tensor"
)

// What the stand-in for cuDNN logs for a kernel that sums the output of a convolution.
const summingEngine = "engine 3 with sums\n"

// momentsCases are convolutions whose results are normalised: the first two have numbers of
// channels that summing kernels support, the others have unsupported ones, or groups that are not
// aligned for such kernels.
var momentsCases = []convCase{
	{[4]int{4, 5, 7, 8}, [4]int{16, 1, 1, 8}, [2]int{0, 0}, 2, [2]int{3, 4}, "1x1, stride 2"},
	{[4]int{4, 6, 5, 8}, [4]int{8, 3, 3, 8}, [2]int{1, 1}, 1, [2]int{6, 5}, "3x3"},
	{[4]int{4, 6, 5, 4}, [4]int{8, 3, 3, 4}, [2]int{1, 1}, 1, [2]int{6, 5}, "few channels"},
	{[4]int{4, 5, 3, 3}, [4]int{5, 1, 1, 3}, [2]int{0, 0}, 1, [2]int{5, 3}, "odd channels"},
}

// moments runs the operator on a case, and also returns the expected outputs.
func (c convCase) moments(t *testing.T, typ tensor.DType, groups int) (got, want map[string]array) {
	t.Helper()
	r := seeded()
	yShape := []int{c.x[0], c.out[0], c.out[1], c.w[0]}
	x, w := random(r, typ, c.x[:]...), random(r, typ, c.w[:]...)
	n := &norm{x: zeros(yShape...), gamma: zeros(c.w[0]), beta: zeros(c.w[0]), groups: groups}
	c.products(x, w, n.x, func(i, j, k int) { n.x.data[k] += x.data[i] * w.data[j] })
	n.dy = zeros(yShape...)
	n.compute()
	a := c.attributes(onnx.Float("eps", eps), onnx.Int("groups", int64(groups)), onnx.Int("tf32", 1))
	statistic := n.statistic()
	got = newCustom(typ).give("x", x).give("w", w).want("y", yShape...).
		want("Mean", statistic...).want("Variance", statistic...).want("Istd", statistic...).
		node("ConvMoments", "x w", "y Mean Variance Istd", a...).run(t)
	return got, map[string]array{"y": n.x, "Mean": n.mean, "Variance": n.variance, "Istd": n.istd}
}

// Whether the convolution sums its output as it writes it or the output is read again, the results
// match the definition, and the faster way is chosen.
func TestConvMoments(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	for i, c := range momentsCases {
		for _, typ := range activations {
			for groups := 1; groups <= 2; groups++ {
				for _, times := range []string{"0.25", "100"} {
					t.Run(fmt.Sprint(c.description, ", ", typ, ", groups ", groups, ", sums take ", times), func(t *testing.T) {
						t.Setenv(standin.EnvSums, times)
						asked(t)
						ort.ConvSearches()
						got, want := c.moments(t, typ, groups)
						// The operands are rounded to TF32, and y to its type before it is read again.
						tol := map[tensor.DType]float64{f32: 2e-3, f16: 2e-3, bf16: 1e-2}[typ]
						for name := range want {
							near(t, name, got[name], want[name], tol)
						}
						// The second run uses the way that was chosen.
						fused := strings.HasSuffix(asked(t), strings.Repeat(summingEngine, groups))
						if fused != (i < 2 && times == "0.25") {
							t.Errorf("summed while convolving: %v", fused)
						}
						took := ort.ConvSearches()
						if known := fmt.Sprint(took.Moments, took.Fused); fused && known != "1 1" || !fused && i < 2 && known != "1 0" {
							t.Errorf("told of kinds that are normalised and of those that are summed: %s", known)
						}
					})
				}
			}
		}
	}
}

// If cuDNN has no summing kernel, it is queried once, and the result is read again.
func TestConvMomentsWithoutSums(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	t.Setenv(standin.EnvNoSums, "1")
	c := momentsCases[1]
	got, want := c.moments(t, f16, 2)
	near(t, "variance", got["Variance"], want["Variance"], 2e-3)
	// Once for the convolution alone. With sums, each list of the heuristics is queried up to
	// three times, as the workspace limit is raised.
	if log := asked(t); strings.Count(log, fallbacks) > 3 || strings.Contains(log, "with sums") {
		t.Errorf("asked of cuDNN:\n%s", log)
	}
}

// A NaN or an infinity makes its channel's statistics NaN, by either way.
func TestConvMomentsOfNoNumber(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	for _, times := range []string{"0.25", "100"} {
		t.Setenv(standin.EnvSums, times)
		c := convCase{[4]int{2, 2, 2, 8}, [4]int{8, 1, 1, 8}, [2]int{0, 0}, 1, [2]int{2, 2}, ""}
		r := seeded()
		x, w := random(r, f32, c.x[:]...), random(r, f32, c.w[:]...)
		w.data[3] = math.Inf(1)
		m := newCustom(f32).give("x", x).give("w", w).want("y", 2, 2, 2, 8).want("Mean", 8).want("Variance", 8).want("Istd", 8).
			node("ConvMoments", "x w", "y Mean Variance Istd", c.attributes(onnx.Float("eps", eps), onnx.Int("tf32", 1))...)
		got := m.runs(t)[1]
		if v := got["Variance"].data; v[0] == v[0] || v[1] != v[1] {
			t.Errorf("sums take %s: variances %v", times, v)
		}
	}
}

// Normalize is BatchNorm with given statistics.
func TestNormalize(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	for _, c := range []struct {
		typ            tensor.DType
		shape          []int
		relu, residual bool
		groups         int
	}{
		{f16, []int{4, 3, 5, 72}, true, true, 2},
		{bf16, []int{4, 3, 5, 16}, true, false, 1},
		{f32, []int{3, 4, 5, 5}, true, true, 1},
		{f32, []int{2, 64, 65, 4}, false, false, 2},
	} {
		n := newNorm(c.typ, c.relu, c.residual, false, c.shape...)
		n.groups = c.groups
		n.compute()
		m := newCustom(c.typ).give("x", n.x).give("Gamma", n.gamma).give("Beta", n.beta).give("Mean", n.mean).give("Istd", n.istd).
			give("dy", n.dy).want("y", c.shape...)
		in, out := "x Gamma Beta Mean Istd", "y"
		a := []*onnx.AttributeProto{onnx.Float("eps", eps), flag("relu", c.relu), onnx.Int("groups", int64(c.groups))}
		if c.residual {
			m.give("z", n.z).want("dz", c.shape...).want("dx", c.shape...).want("Dgamma", len(n.gamma.data)).want("Dbeta", len(n.beta.data))
			m.value(tensor.Uint8, "Mask", len(n.x.data)/masked(c.typ, len(n.gamma.data)))
			in, out = in+" z", out+" Mask"
		}
		m.node("Normalize", in, out, a...)
		if c.residual {
			m.node("BatchNormGrad", "dy - x Gamma Beta Mean Istd Mask", "dx Dgamma Dbeta dz", append(a, flag("residual", true))...)
		} else {
			delete(m.in, "dy")
			m.g.Input = m.g.Input[:len(m.g.Input)-1]
		}
		got := m.run(t)
		near(t, fmt.Sprint(c, ": y"), got["y"], n.y, 2*tolerance(c.typ))
		if c.residual {
			near(t, fmt.Sprint(c, ": dz"), got["dz"], n.dz, 2*tolerance(c.typ))
		}
	}
}

// Statistics of another number of groups than the node's are rejected.
func TestNormalizeRefuses(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	r := seeded()
	g, x := random(r, f32, 8), random(r, f32, 4, 3, 3, 8)
	m := newCustom(f32).give("x", x).give("Gamma", g).give("Beta", g).give("Mean", g).give("Istd", g).want("y", 4, 3, 3, 8).
		node("Normalize", "x Gamma Beta Mean Istd", "y", onnx.Int("groups", 2))
	refuses(t, m, "mean or istd is not of the groups")
	w := random(r, f32, 8, 1, 1, 8)
	m = newCustom(f32).give("x", random(r, f32, 3, 3, 3, 8)).give("w", w).want("y", 3, 3, 3, 8).want("Mean", 2, 8).want("Variance", 2, 8).want("Istd", 2, 8).
		node("ConvMoments", "x w", "y Mean Variance Istd", onnx.Ints("pads", 0, 0), onnx.Int("stride", 1), onnx.Float("eps", eps), onnx.Int("groups", 2))
	refuses(t, m, "x does not divide into groups")
}

// Timing both ways leaves nothing of the workspace of the one that loses in the session's memory.
// Without memory for it, that way is not tried.
func TestConvMomentsGiveMemoryBack(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	const workspace = 16 << 20
	t.Setenv(standin.EnvSumsWorkspace, fmt.Sprint(workspace))
	for _, c := range []struct {
		times        string // of the way that sums while convolving
		memory       int    // of the device
		fused        int
		least, below int64 // bytes that the session holds
	}{
		{"100", 256 << 20, 0, 0, workspace},
		{"0.25", 256 << 20, 1, workspace, 3 * workspace},
		{"0.25", workspace - 1, 0, 0, workspace},
	} {
		t.Setenv(standin.EnvSums, c.times)
		t.Setenv(standin.EnvMemory, fmt.Sprint(c.memory))
		ort.ConvSearches()
		bytes := heldByMoments(t, momentsCases[0])
		if took := ort.ConvSearches(); bytes < c.least || bytes >= c.below || took.Fused != c.fused {
			t.Errorf("%+v: the session holds %d bytes, %+v", c, bytes, took)
		}
	}
}

// heldByMoments returns the device memory that a session with the operator holds after two steps.
func heldByMoments(t *testing.T, c convCase) int64 {
	t.Helper()
	r := seeded()
	m := newCustom(f16).give("w", random(r, f16, c.w[:]...)).give("x", random(r, f16, c.x[:]...)).give("Rate", zeros(1)).give("Mean", zeros(c.w[0])).
		want("w.next", c.w[:]...).want("Mean.next", c.w[0]).want("Loss", 1)
	m.value(f16, "y", c.x[0], c.out[0], c.out[1], c.w[0])
	m.value(f32, "Variance", c.w[0])
	m.value(f32, "Istd", c.w[0])
	m.node("ConvMoments", "x w", "y Mean.next Variance Istd", c.attributes(onnx.Float("eps", eps))...)
	m.builder.node("Identity", "Loss", "Rate").node("Identity", "w.next", "w")
	b, err := onnx.Marshal(m.model())
	if err != nil {
		t.Fatal(err)
	}
	s, err := orttest.Open(t).NewSession(b, ort.Options{Device: cuda})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	st, err := ort.NewStepper(s, ort.StepperConfig{State: []ort.Variable{{In: "w", Out: "w.next"}, {In: "Mean", Out: "Mean.next"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if err := st.Restore(map[string]*tensor.Tensor{"w": m.in["w"], "Mean": m.in["Mean"]}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := st.Step(tensor.Batch{"x": m.in["x"], "Rate": m.in["Rate"]}); err != nil {
			t.Fatal(err)
		}
		st.Accept()
	}
	bytes, err := st.DeviceMemory()
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}
