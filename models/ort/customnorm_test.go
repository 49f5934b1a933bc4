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

const eps = 1e-3

// norm is batch normalisation with what may follow it, and its gradients.
type norm struct {
	x, gamma, beta, z, dy array
	relu, residual        bool

	y, mean, istd, dx, dgamma, dbeta, dz array
}

func newNorm(typ tensor.DType, relu, residual bool, shape ...int) *norm {
	r, c := seeded(), shape[3]
	n := &norm{relu: relu, residual: residual}
	n.x, n.z, n.dy = random(r, typ, shape...), random(r, typ, shape...), random(r, typ, shape...)
	n.gamma, n.beta = random(r, f32, c), random(r, f32, c)
	n.y, n.dx, n.dz = zeros(shape...), zeros(shape...), zeros(shape...)
	n.mean, n.istd, n.dgamma, n.dbeta = zeros(c), zeros(c), zeros(c), zeros(c)
	for i := range c {
		n.channel(i, c)
	}
	return n
}

// channel computes one channel of c.
func (n *norm) channel(ch, c int) {
	count := float64(len(n.x.data) / c)
	each := func(f func(i int)) {
		for i := ch; i < len(n.x.data); i += c {
			f(i)
		}
	}
	variance := 0.0
	each(func(i int) { n.mean.data[ch] += n.x.data[i] / count })
	each(func(i int) { variance += math.Pow(n.x.data[i]-n.mean.data[ch], 2) / count })
	istd := 1 / math.Sqrt(variance+eps)
	n.istd.data[ch] = istd
	normal := func(i int) float64 { return (n.x.data[i] - n.mean.data[ch]) * istd }
	each(func(i int) {
		v := normal(i)*n.gamma.data[ch] + n.beta.data[ch]
		if n.residual {
			v += n.z.data[i]
		}
		n.dz.data[i] = n.dy.data[i]
		if n.relu && v <= 0 {
			v, n.dz.data[i] = 0, 0
		}
		n.y.data[i] = v
		n.dbeta.data[ch] += n.dz.data[i]
		n.dgamma.data[ch] += n.dz.data[i] * normal(i)
	})
	each(func(i int) {
		n.dx.data[i] = n.gamma.data[ch] * istd * (n.dz.data[i] - n.dbeta.data[ch]/count - normal(i)*n.dgamma.data[ch]/count)
	})
}

func flag(name string, on bool) *onnx.AttributeProto {
	if on {
		return onnx.Int(name, 1)
	}
	return onnx.Int(name, 0)
}

// model runs the operator and its gradient, which needs y only with a relu.
func (n *norm) model(typ tensor.DType) *custom {
	shape, c := n.x.shape, n.x.shape[3]
	a := []*onnx.AttributeProto{onnx.Float("eps", eps), flag("relu", n.relu)}
	m := newCustom(typ).give("x", n.x).give("Gamma", n.gamma).give("Beta", n.beta).give("dy", n.dy).
		want("y", shape...).want("Mean", c).want("Istd", c).want("dx", shape...).want("Dgamma", c).want("Dbeta", c)
	m.value(tensor.Uint8, "Reserve", -1001)
	in, y, out := "x Gamma Beta", "-", "dx Dgamma Dbeta"
	if n.relu {
		y = "y"
	}
	if n.residual {
		m.give("z", n.z).want("dz", shape...)
		in, out = in+" z", out+" dz"
	}
	m.node("BatchNorm", in, "y Mean Istd Reserve", a...)
	m.node("BatchNormGrad", "dy x "+y+" Gamma Beta Mean Istd Reserve", out, append(a, flag("residual", n.residual))...)
	return m
}

func TestBatchNormOnCuDNN(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	for _, c := range []struct {
		typ            tensor.DType
		channels       int
		relu, residual bool
		how            string // as the stand-in logs it
	}{
		{f16, 8, false, false, "mode 2 ops 0"},
		{f16, 8, true, false, "mode 2 ops 1"},
		{f16, 8, true, true, "mode 2 ops 2"},
		{f32, 8, false, false, "mode 2 ops 0"},
		{f32, 8, true, false, "mode 2 ops 0"},
		{f32, 8, true, true, "mode 2 ops 0"},
		{f16, 5, true, true, "mode 1 ops 0"},
		{f32, 5, true, false, "mode 1 ops 0"},
	} {
		t.Run(fmt.Sprint(c.typ, ", ", c.channels, " channels, relu ", c.relu, ", residual ", c.residual), func(t *testing.T) {
			n := newNorm(c.typ, c.relu, c.residual, 3, 4, 5, c.channels)
			asked(t)
			got := n.model(c.typ).run(t)
			if log := asked(t); strings.Count(log, "norm "+c.how+"\n") != 2 || strings.Count(log, "norm gradient "+c.how+"\n") != 2 {
				t.Errorf("asked of cuDNN:\n%s", log)
			}
			// What is computed in two steps is rounded in between.
			tol := 2 * tolerance(c.typ)
			near(t, "y", got["y"], n.y, tol)
			near(t, "mean", got["Mean"], n.mean, 1e-6)
			near(t, "istd", got["Istd"], n.istd, 1e-6)
			near(t, "dx", got["dx"], n.dx, tol)
			near(t, "dgamma", got["Dgamma"], n.dgamma, tol)
			near(t, "dbeta", got["Dbeta"], n.dbeta, tol)
			if c.residual {
				near(t, "dz", got["dz"], n.dz, tol)
			}
		})
	}
}

// What cuDNN refuses only when it runs is done in steps, in the gradient, too.
func TestBatchNormUnfused(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	t.Setenv(standin.EnvUnfused, standin.UnfusedForward)
	n := newNorm(f16, true, true, 2, 4, 5, 8)
	got := n.model(f16).run(t)
	if log := asked(t); strings.Count(log, "mode 2 ops 0\n") != 4 || strings.Contains(log, "ops 2") {
		t.Errorf("asked of cuDNN:\n%s", log)
	}
	near(t, "y", got["y"], n.y, 2*tolerance(f16))
	near(t, "dx", got["dx"], n.dx, 2*tolerance(f16))
	near(t, "dz", got["dz"], n.dz, 2*tolerance(f16))
}

// Where cuDNN refuses the gradient alone, it is done in steps after a forward pass in
// one kernel, and from then on so are both.
func TestBatchNormGradUnfused(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	t.Setenv(standin.EnvUnfused, standin.UnfusedGradient)
	for _, residual := range []bool{false, true} {
		n := newNorm(f16, true, residual, 2, 4, 5, 8)
		asked(t)
		got := n.model(f16).runs(t)
		fused := map[bool]string{false: "mode 2 ops 1", true: "mode 2 ops 2"}[residual]
		if log, want := asked(t), "norm "+fused+"\nnorm gradient mode 2 ops 0\nnorm mode 2 ops 0\nnorm gradient mode 2 ops 0\n"; log != want {
			t.Errorf("asked of cuDNN:\n%s", log)
		}
		for _, out := range got {
			near(t, "y", out["y"], n.y, 2*tolerance(f16))
			near(t, "dx", out["dx"], n.dx, 2*tolerance(f16))
			near(t, "dgamma", out["Dgamma"], n.dgamma, 2*tolerance(f16))
			near(t, "dbeta", out["Dbeta"], n.dbeta, 2*tolerance(f16))
			if residual {
				near(t, "dz", out["dz"], n.dz, 2*tolerance(f16))
			}
		}
	}
}

// Steps that want a reserve of their own find none after a forward pass in one kernel.
func TestBatchNormGradUnfusedWithoutItsReserve(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	t.Setenv(standin.EnvUnfused, standin.UnfusedGradient)
	t.Setenv(standin.EnvReserve, "16")
	n := newNorm(f16, true, false, 2, 4, 5, 8)
	near(t, "dx", n.model(f16).run(t)["dx"], n.dx, 2*tolerance(f16))
	if log := asked(t); !strings.HasPrefix(log, "norm mode 2 ops 1\nnorm gradient mode 1 ops 0\n") {
		t.Errorf("asked of cuDNN:\n%s", log)
	}
}

// The user can have everything done in steps.
func TestBatchNormWithoutFusion(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	t.Setenv(ort.EnvFusion, "0")
	n := newNorm(f16, true, true, 2, 4, 5, 8)
	got := n.model(f16).run(t)
	if log := asked(t); strings.Count(log, "mode 2 ops 0\n") != 4 || strings.Contains(log, "ops 2") {
		t.Errorf("asked of cuDNN:\n%s", log)
	}
	near(t, "y", got["y"], n.y, 2*tolerance(f16))
	near(t, "dx", got["dx"], n.dx, 2*tolerance(f16))
}

// A graph without gradients leaves out what only they need.
func TestBatchNormAlone(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	n := newNorm(f16, true, false, 3, 4, 5, 8)
	got := newCustom(f16).give("x", n.x).give("Gamma", n.gamma).give("Beta", n.beta).want("y", n.y.shape...).
		node("BatchNorm", "x Gamma Beta", "y", onnx.Float("eps", eps), onnx.Int("relu", 1)).run(t)
	near(t, "y", got["y"], n.y, tolerance(f16))
}

// Nodes that are wrong are refused, when the session is made or when it runs.
func TestCustomOperatorsRefuse(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	r := seeded()
	x, w := random(r, f32, 1, 4, 4, 3), random(r, f32, 2, 3, 3, 3)
	g := random(r, f32, 3)
	unrelu := newNorm(f32, false, false, 2, 3, 3, 4).model(f32)
	unrelu.g.Node[1].Attribute[2] = onnx.Int("residual", 1)
	for want, m := range map[string]*custom{
		"No attribute with name:'stride'":        newCustom(f32).give("x", x).give("w", w).want("y", 1, 4, 4, 2).node("Conv", "x w", "y", onnx.Ints("pads", 1, 1)),
		"pads are not two numbers":               newCustom(f32).give("x", x).give("w", w).want("y", 1, 4, 4, 2).node("Conv", "x w", "y", onnx.Ints("pads", 1), onnx.Int("stride", 1)),
		"z is added before a relu only":          newCustom(f32).give("x", x).give("Gamma", g).give("Beta", g).give("z", x).want("y", 1, 4, 4, 3).node("BatchNorm", "x Gamma Beta z", "y", onnx.Float("eps", eps)),
		"a residual is added before a relu only": unrelu,
		"x and w have other channels":            newCustom(f32).give("x", random(r, f32, 1, 4, 4, 2)).give("w", w).want("y", 1, 4, 4, 2).node("Conv", "x w", "y", onnx.Ints("pads", 1, 1), onnx.Int("stride", 1)),
		"do not give a y of the shape of dy":     newCustom(f32).give("dy", x).give("w", random(r, f32, 3, 3, 3, 3)).want("dx", 1, 5, 4, 3).node("ConvInputGrad", "dy w", "dx", onnx.Ints("pads", 1, 1), onnx.Int("stride", 1), onnx.Ints("size", 5, 4)),
		"no kernel def matches node inputs":      newCustom(f16).give("x", x).give("W", w).want("y", 1, 4, 4, 2).node("Conv", "x W", "y", onnx.Ints("pads", 1, 1), onnx.Int("stride", 1)),
	} {
		b, err := onnx.Marshal(m.model())
		if err != nil {
			t.Fatal(err)
		}
		s, err := orttest.Open(t).NewSession(b, ort.Options{Device: cuda})
		if err == nil {
			_, err = s.Run(m.in)
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
