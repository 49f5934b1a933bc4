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

const eps = 1e-3

// norm is batch normalisation with an optional residual and ReLU, and its gradients.
type norm struct {
	x, gamma, beta, z, dy array
	more                  array // the second part of dy
	relu, residual, two   bool
	groups                int

	y, mean, variance, istd, dx, dgamma, dbeta, dz array
}

func newNorm(typ tensor.DType, relu, residual, two bool, shape ...int) *norm {
	r, c := seeded(), shape[len(shape)-1]
	n := &norm{relu: relu, residual: residual, two: two, groups: 1}
	n.x, n.z, n.dy, n.more = random(r, typ, shape...), random(r, typ, shape...), random(r, typ, shape...), random(r, typ, shape...)
	n.gamma, n.beta = random(r, f32, c), random(r, f32, c)
	n.compute()
	return n
}

// compute fills in all results.
func (n *norm) compute() {
	shape := n.x.shape
	c := shape[len(shape)-1]
	n.y, n.dx, n.dz = zeros(shape...), zeros(shape...), zeros(shape...)
	statistic := n.statistic()
	n.mean, n.variance, n.istd = zeros(statistic...), zeros(statistic...), zeros(statistic...)
	n.dgamma, n.dbeta = zeros(c), zeros(c)
	for i := range n.groups * c {
		n.channel(i/c, i%c, c)
	}
}

// statistic returns the shape of mean, variance and istd.
func (n *norm) statistic() []int {
	c := n.x.shape[len(n.x.shape)-1]
	if n.groups > 1 {
		return []int{n.groups, c}
	}
	return []int{c}
}

// channel computes one channel of c in one group.
func (n *norm) channel(group, ch, c int) {
	size := len(n.x.data) / n.groups
	count := float64(size / c)
	each := func(f func(i int)) {
		for i := group*size + ch; i < (group+1)*size; i += c {
			f(i)
		}
	}
	mean, variance := 0.0, 0.0
	each(func(i int) { mean += n.x.data[i] / count })
	each(func(i int) { variance += math.Pow(n.x.data[i]-mean, 2) / count })
	istd := 1 / math.Sqrt(variance+eps)
	at := group*c + ch
	n.mean.data[at], n.variance.data[at], n.istd.data[at] = mean, variance, istd
	normal := func(i int) float64 { return (n.x.data[i] - mean) * istd }
	dgamma, dbeta := 0.0, 0.0
	each(func(i int) {
		v := normal(i)*n.gamma.data[ch] + n.beta.data[ch]
		if n.residual {
			v += n.z.data[i]
		}
		n.dz.data[i] = n.dy.data[i]
		if n.two {
			n.dz.data[i] += n.more.data[i]
		}
		if n.relu && v <= 0 {
			v, n.dz.data[i] = 0, 0
		}
		n.y.data[i] = v
		dbeta += n.dz.data[i]
		dgamma += n.dz.data[i] * normal(i)
	})
	each(func(i int) {
		n.dx.data[i] = n.gamma.data[ch] * istd * (n.dz.data[i] - dbeta/count - normal(i)*dgamma/count)
	})
	n.dgamma.data[ch] += dgamma
	n.dbeta.data[ch] += dbeta
}

func flag(name string, on bool) *onnx.AttributeProto {
	if on {
		return onnx.Int(name, 1)
	}
	return onnx.Int(name, 0)
}

// model runs the operator and its gradient.
func (n *norm) model(typ tensor.DType) *custom {
	shape, c := n.x.shape, len(n.gamma.data)
	a := []*onnx.AttributeProto{onnx.Float("eps", eps), flag("relu", n.relu)}
	if n.groups > 1 {
		a = append(a, onnx.Int("groups", int64(n.groups)))
	}
	statistic := n.statistic()
	m := newCustom(typ).give("x", n.x).give("Gamma", n.gamma).give("Beta", n.beta).give("dy", n.dy).
		want("y", shape...).want("Mean", statistic...).want("Variance", statistic...).want("Istd", statistic...).want("dx", shape...).want("Dgamma", c).want("Dbeta", c)
	in, out, more, mask, grads := "x Gamma Beta", "y Mean Variance Istd", "-", "", "dx Dgamma Dbeta"
	if n.two {
		m.give("more", n.more)
		more = "more"
	}
	if n.residual {
		m.give("z", n.z).want("dz", shape...)
		in, out, mask, grads = in+" z", out+" Mask", " Mask", grads+" dz"
		m.value(tensor.Uint8, "Mask", len(n.x.data)/masked(typ, c))
	}
	m.node("BatchNorm", in, out, a...)
	m.node("BatchNormGrad", "dy "+more+" x Gamma Beta Mean Istd"+mask, grads, append(a, flag("residual", n.residual))...)
	return m
}

// masked returns how many elements share a byte of the mask.
func masked(typ tensor.DType, channels int) int {
	for _, n := range []int{8, 4} {
		if channels%n == 0 && typ.Half() == (n == 8) {
			return n
		}
	}
	return 1
}

func TestBatchNorm(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	for _, c := range []struct {
		typ                 tensor.DType
		shape               []int
		relu, residual, two bool
		groups              int // 0 for one
	}{
		{f16, []int{3, 4, 5, 8}, false, false, false, 0},
		{f16, []int{3, 4, 5, 8}, true, false, true, 0},
		{f16, []int{3, 4, 5, 72}, true, true, false, 0}, // two strips, one of them narrow
		{f16, []int{3, 4, 5, 8}, true, true, true, 0},
		{f16, []int{3, 4, 5, 5}, true, true, true, 0},
		{f16, []int{7, 80}, true, false, false, 0},
		{bf16, []int{3, 4, 5, 72}, true, true, true, 0},
		{bf16, []int{3, 4, 5, 5}, true, true, true, 0},
		{bf16, []int{7, 80}, true, false, false, 0},
		{f32, []int{3, 4, 5, 8}, false, false, true, 0},
		{f32, []int{3, 4, 5, 40}, true, false, false, 0},
		{f32, []int{3, 4, 5, 4}, true, true, true, 0},
		{f32, []int{3, 4, 5, 5}, true, true, false, 0},
		{f32, []int{40, 3}, true, false, false, 0},
		{f32, []int{2, 64, 65, 4}, true, true, false, 0}, // many chunks
		{f16, []int{4, 3, 5, 72}, true, true, true, 2},
		{f16, []int{6, 3, 5, 5}, true, false, false, 3},
		{bf16, []int{6, 3, 5, 16}, true, false, false, 3},
		{f32, []int{2, 64, 65, 4}, true, true, false, 2},
		{f32, []int{40, 12}, false, false, false, 2},
	} {
		t.Run(fmt.Sprint(c.typ, c.shape, ", relu ", c.relu, ", residual ", c.residual, ", two parts ", c.two, ", groups ", c.groups), func(t *testing.T) {
			n := newNorm(c.typ, c.relu, c.residual, c.two, c.shape...)
			if c.groups > 1 {
				n.groups = c.groups
				n.compute()
			}
			for _, got := range n.model(c.typ).runs(t) {
				tol := 2 * tolerance(c.typ)
				near(t, "y", got["y"], n.y, tol)
				near(t, "mean", got["Mean"], n.mean, 1e-5)
				near(t, "variance", got["Variance"], n.variance, 1e-6)
				near(t, "istd", got["Istd"], n.istd, 1e-6)
				near(t, "dx", got["dx"], n.dx, tol)
				near(t, "dgamma", got["Dgamma"], n.dgamma, tol)
				near(t, "dbeta", got["Dbeta"], n.dbeta, tol)
				if c.residual {
					near(t, "dz", got["dz"], n.dz, tol)
				}
			}
		})
	}
}

// The variance keeps its digits for values far from zero.
func TestBatchNormFarFromZero(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	n := newNorm(f32, false, false, false, 4, 5, 5, 4)
	for i := range n.x.data {
		n.x.data[i] = float64(float32(n.x.data[i]/4 + 1000))
	}
	n.compute()
	got := n.model(f32).run(t)
	near(t, "variance", got["Variance"], n.variance, 1e-4)
	near(t, "y", got["y"], n.y, 1e-3)
}

// A NaN or an infinity makes the whole channel NaN.
func TestBatchNormOfNoNumber(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		n := newNorm(f32, true, false, false, 4, 5, 5, 4)
		n.x.data[4*30+1] = bad
		got := n.model(f32).runs(t)[0]
		for name, at := range map[string]int{"Variance": 1, "Istd": 1, "y": 4*70 + 1, "Dgamma": 1} {
			if v := got[name].data[at]; v == v {
				t.Errorf("%v: %s is %v", bad, name, v)
			}
		}
		if v := got["y"].data[4*70]; v != v {
			t.Errorf("%v: another channel is none, too", bad)
		}
	}
}

// Invalid nodes are rejected, when the session is made or when it runs.
func TestCustomOperatorsRefuse(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	r := seeded()
	x, w := random(r, f32, 1, 4, 4, 3), random(r, f32, 2, 3, 3, 3)
	g := random(r, f32, 3)
	unrelu := newNorm(f32, false, false, false, 2, 3, 3, 4).model(f32)
	unrelu.g.Node[1].Attribute[2] = onnx.Int("residual", 1)
	for want, m := range map[string]*custom{
		"No attribute with name:'stride'":        newCustom(f32).give("x", x).give("w", w).want("y", 1, 4, 4, 2).node("Conv", "x w", "y", onnx.Ints("pads", 1, 1)),
		"pads are not two numbers":               newCustom(f32).give("x", x).give("w", w).want("y", 1, 4, 4, 2).node("Conv", "x w", "y", onnx.Ints("pads", 1), onnx.Int("stride", 1)),
		"z is added before a relu only":          newCustom(f32).give("x", x).give("Gamma", g).give("Beta", g).give("z", x).want("y", 1, 4, 4, 3).want("Mean", 3).want("Variance", 3).want("Istd", 3).node("BatchNorm", "x Gamma Beta z", "y Mean Variance Istd", onnx.Float("eps", eps)),
		"a residual is added before a relu only": unrelu,
		"x and w have other channels":            newCustom(f32).give("x", random(r, f32, 1, 4, 4, 2)).give("w", w).want("y", 1, 4, 4, 2).node("Conv", "x w", "y", onnx.Ints("pads", 1, 1), onnx.Int("stride", 1)),
		"do not give a y of the shape of dy":     newCustom(f32).give("dy", x).give("w", random(r, f32, 3, 3, 3, 3)).want("dx", 1, 5, 4, 3).node("ConvInputGrad", "dy w", "dx", onnx.Ints("pads", 1, 1), onnx.Int("stride", 1), onnx.Ints("size", 5, 4)),
		"no kernel def matches node inputs":      newCustom(f16).give("x", x).give("W", w).want("y", 1, 4, 4, 2).node("Conv", "x W", "y", onnx.Ints("pads", 1, 1), onnx.Int("stride", 1)),
	} {
		refuses(t, m, want)
	}
}

// refuses expects an error, from making the session or from its run.
func refuses(t *testing.T, m *custom, want string) {
	t.Helper()
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
