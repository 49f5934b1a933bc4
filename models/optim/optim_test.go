package optim

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/graph/reference"
	"vicreg/models/tensor"
)

// stepOnce builds one step and evaluates it in float64 on the given values. The inputs are named
// NAME and NAME.grad, and the state as the optimiser names it; the outputs new/NAME for variables
// and state, grad_norm, weight_norm and finite.
func stepOnce(t *testing.T, c Config, shapes map[string][]int, in map[string][]float64) map[string][]float64 {
	t.Helper()
	g, err := graph.Build("step", func(g *graph.Graph) {
		var vars []Variable
		for _, name := range []string{"w", "b"} {
			if shape, ok := shapes[name]; ok {
				vars = append(vars, Variable{name, g.Input(name, tensor.Float32, shape...), g.Input(name+".grad", tensor.Float32, shape...)})
			}
		}
		r := c.Forward(g, vars, g.Input("lr", tensor.Float32, 1), g.Input("loss_scale", tensor.Float32, 1))
		for i, v := range vars {
			g.Output("new/"+v.Name, r.Values[i])
		}
		for _, s := range r.State {
			g.Output("new/"+s.Name, s.Out)
		}
		g.Output("grad_norm", r.GradNorm)
		g.Output("weight_norm", r.WeightNorm)
		g.Output("finite", r.Finite)
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := reference.Run(g, in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// The weight w [1, 2] has norm 5, its gradient 13 after division by the loss scale.
func inputs(extra map[string][]float64) map[string][]float64 {
	in := map[string][]float64{"w": {3, -4}, "w.grad": {10, 24}, "b": {2}, "b.grad": {1}, "lr": {0.5}, "loss_scale": {2}}
	for k, v := range extra {
		in[k] = v
	}
	return in
}

var both = map[string][]int{"w": {1, 2}, "b": {1}}

func expect(t *testing.T, got map[string][]float64, want map[string][]float64) {
	t.Helper()
	for name, w := range want {
		for i := range w {
			if !(math.Abs(got[name][i]-w[i]) <= 1e-6*max(1, math.Abs(w[i]))) {
				t.Errorf("%s = %v, want %v", name, got[name], w)
				break
			}
		}
	}
}

func TestSGDByHand(t *testing.T) {
	out := stepOnce(t, Config{Name: "sgd", Momentum: 0.9, WeightDecay: 0.1}, both,
		inputs(map[string][]float64{"w.momentum": {1, 2}, "b.momentum": {-1}}))
	expect(t, out, map[string][]float64{
		"new/w.momentum": {0.9 + 5.3, 1.8 + 11.6}, // 0.9 m + g + 0.1 w
		"new/w":          {3 - 0.5*6.2, -4 - 0.5*13.4},
		"new/b.momentum": {-0.9 + 0.7},
		"new/b":          {2 + 0.5*0.2},
		"grad_norm":      {math.Sqrt(169.25)}, "weight_norm": {math.Sqrt(29)}, "finite": {1},
	})
}

// A matrix's step is as long as trust times its norm; a vector's is its gradient.
func TestLARSByHand(t *testing.T) {
	out := stepOnce(t, Config{Name: "lars", Momentum: 0.9, Trust: 0.001, WeightDecay: 0.1}, both,
		inputs(map[string][]float64{"w.momentum": {1, 2}, "b.momentum": {-1}}))
	trust := 0.001 * 5 / math.Hypot(5.3, 11.6)
	m := []float64{0.9 + 5.3*trust, 1.8 + 11.6*trust}
	expect(t, out, map[string][]float64{
		"new/w.momentum": m, "new/w": {3 - 0.5*m[0], -4 - 0.5*m[1]},
		"new/b.momentum": {-0.9 + 0.5}, "new/b": {2 + 0.5*0.4},
	})
}

// With Clip the step is trust times the norm, or lr times the gradient if that is smaller.
func TestClippedLARSByHand(t *testing.T) {
	c := Config{Name: "lars", Momentum: 0.9, Trust: 0.001, WeightDecay: 0.1, Clip: true}
	for _, lr := range []float64{0.5, 0.0001, 0} {
		out := stepOnce(t, c, both, inputs(map[string][]float64{"w.momentum": {0, 0}, "b.momentum": {0}, "lr": {lr}}))
		rate := min(0.001*5/math.Hypot(5.3, 11.6), lr)
		expect(t, out, map[string][]float64{"new/w": {3 - rate*5.3, -4 - rate*11.6}, "new/b": {2 - lr*0.5}})
	}
}

// A weight or a gradient of zero has no direction: the step is not scaled.
func TestLARSWithZeroNorms(t *testing.T) {
	c := Config{Name: "lars", Momentum: 0.9, Trust: 0.001}
	zero := map[string][]float64{"w.momentum": {0, 0}, "b.momentum": {0}}
	zero["w"] = []float64{0, 0}
	expect(t, stepOnce(t, c, both, inputs(zero)), map[string][]float64{"new/w": {-2.5, -6}, "finite": {1}})
	delete(zero, "w")
	zero["w.grad"] = []float64{0, 0}
	expect(t, stepOnce(t, c, both, inputs(zero)), map[string][]float64{"new/w": {3, -4}, "finite": {1}})
}

// Adam's first step is lr in the direction of the gradient's sign, plus the decay of matrices.
// The third step uses the bias corrections of t = 3.
func TestAdamWByHand(t *testing.T) {
	c := Config{Name: "adamw", Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, WeightDecay: 0.1}
	first := map[string][]float64{"optimizer.step": {0}, "w.exp_avg": {0, 0}, "w.exp_avg_sq": {0, 0}, "b.exp_avg": {0}, "b.exp_avg_sq": {0}}
	expect(t, stepOnce(t, c, both, inputs(first)), map[string][]float64{
		"new/optimizer.step": {1}, "new/w": {3*0.95 - 0.5, -4*0.95 - 0.5}, "new/b": {1.5},
		"new/w.exp_avg": {0.5, 1.2}, "new/w.exp_avg_sq": {0.25, 1.44},
	})
	third := map[string][]float64{"optimizer.step": {2}, "w.exp_avg": {0, 0}, "w.exp_avg_sq": {0, 0}, "b.exp_avg": {1}, "b.exp_avg_sq": {3}}
	m, v := 0.9+0.05, 0.99*3+0.01*0.25
	expect(t, stepOnce(t, c, both, inputs(third)), map[string][]float64{
		"new/optimizer.step": {3}, "new/b.exp_avg": {m}, "new/b.exp_avg_sq": {v},
		"new/b": {2 - 0.5*(m/(1-math.Pow(0.9, 3)))/math.Sqrt(v/(1-math.Pow(0.99, 3)))},
	})
}

func TestFinite(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		for _, name := range []string{"w", "w.grad", "b", "b.grad"} {
			in := inputs(map[string][]float64{"w.momentum": {0, 0}, "b.momentum": {0}})
			in[name] = append([]float64(nil), in[name]...)
			in[name][len(in[name])-1] = bad
			if out := stepOnce(t, Config{Name: "sgd", Momentum: 0.9}, both, in); out["finite"][0] != 0 {
				t.Errorf("%s holds %v: finite is %v", name, bad, out["finite"])
			}
		}
	}
}

func TestUnknownOptimizerFailsTheGraph(t *testing.T) {
	_, err := graph.Build("step", func(g *graph.Graph) {
		Config{Name: "adam"}.Forward(g, nil, g.Full(1, 1), g.Full(1, 1))
	})
	if want := fmt.Sprintf("unknown optimizer %q", "adam"); err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// Reading a variable's state depends on the variable's gradient; otherwise a runtime that walks
// back from the outputs would do it first and keep the result for the whole step.
func TestStateIsReadAfterTheGradient(t *testing.T) {
	for _, name := range []string{"sgd", "lars", "adamw", "sgd clipped"} {
		name, _, clipped := strings.Cut(name, " ")
		c, err := Default(name)
		if err != nil {
			t.Fatal(err)
		}
		if clipped {
			c.ClipNorm = 1
		}
		g := graph.New(name)
		grad := g.Input("w.grad", tensor.Float32, 4, 3)
		c.Forward(g, []Variable{{"w", g.Input("w", tensor.Float32, 4, 3), grad}}, g.Input("lr", tensor.Float32, 1), g.Input("loss_scale", tensor.Float32, 1))
		after := map[*graph.Value]bool{grad: true}
		for _, n := range g.Nodes {
			for _, v := range n.Outputs {
				after[v] = slices.ContainsFunc(n.Inputs, func(v *graph.Value) bool { return after[v] })
				for _, in := range n.Inputs {
					if strings.HasPrefix(in.Name, "w.") && in != grad && !after[v] {
						t.Errorf("%s: %s reads %s before the gradient", name, n.Name, in.Name)
					}
				}
			}
		}
	}
}
