package ort_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"vicreg/models/onnx"
	"vicreg/models/ort/orttest"
)

// variableShapes are of more variables than one launch takes, with and without a remainder that
// does not fill a vector, of less than a block and of several.
func variableShapes() [][]int {
	shapes := [][]int{{64}, {3, 1, 1, 5}, {1}, {129, 131}, {8192}, {2, 4096, 2}, {4097}}
	for i := range 150 {
		shapes = append(shapes, []int{1 + i*7%40})
	}
	return shapes
}

// giveList adds an input for each value and returns their names, space-separated.
func (c *custom) giveList(name string, values []array) string {
	words := make([]string, len(values))
	for i, a := range values {
		words[i] = fmt.Sprint(name, i)
		c.give(words[i], a)
	}
	return strings.Join(words, " ")
}

func (c *custom) wantList(name string, shapes [][]int) string {
	words := make([]string, len(shapes))
	for i, s := range shapes {
		words[i] = fmt.Sprint(name, i)
		c.want(words[i], s...)
	}
	return strings.Join(words, " ")
}

func TestDots(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	r, shapes := seeded(), variableShapes()
	n := len(shapes)
	var p, g []array
	want := zeros(3, n)
	for i, s := range shapes {
		x, y := random(r, f32, s...), random(r, f32, s...)
		p, g = append(p, x), append(g, y)
		for k := range x.data {
			want.data[i] += x.data[k] * x.data[k]
			want.data[n+i] += y.data[k] * y.data[k]
			want.data[2*n+i] += x.data[k] * y.data[k]
		}
	}
	c := newCustom(f32)
	c.node("Dots", c.giveList("P", p)+" "+c.giveList("G", g), "Dots").want("Dots", 3, n)
	got := c.run(t)["Dots"]
	for i, w := range want.data {
		if size := math.Sqrt(want.data[i%n] * want.data[n+i%n]); !(math.Abs(got.data[i]-w) <= 1e-5*max(math.Abs(w), size)) {
			t.Errorf("sum %d of variable %d is %g, want %g", i/n, i%n, got.data[i], w)
		}
	}
}

func TestMomentum(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	for _, mu := range []float32{0.9, 0} {
		r, shapes := seeded(), variableShapes()
		n := len(shapes)
		decay, rate, lr := random(r, f32, n), random(r, f32, n), random(r, f32, 1)
		var p, g, m, nextP, nextM []array
		for i, s := range shapes {
			x, y, z := random(r, f32, s...), random(r, f32, s...), random(r, f32, s...)
			p, g, m = append(p, x), append(g, y), append(m, z)
			next, step := zeros(s...), zeros(s...)
			for k := range x.data {
				step.data[k] = float64(mu)*z.data[k] + rate.data[i]*(y.data[k]+decay.data[i]*x.data[k])
				next.data[k] = x.data[k] - lr.data[0]*step.data[k]
			}
			nextP, nextM = append(nextP, next), append(nextM, step)
		}
		if mu == 0 {
			m[3].data[5] = math.Inf(1) // which is ignored
		}
		c := newCustom(f32).give("Decay", decay).give("Rate", rate).give("Lr", lr)
		in := []string{"Decay Rate Lr", c.giveList("P", p), c.giveList("G", g), c.giveList("M", m)}
		c.node("Momentum", strings.Join(in, " "), c.wantList("NextP", shapes)+" "+c.wantList("NextM", shapes), onnx.Float("momentum", mu))
		got := c.run(t)
		for i := range shapes {
			near(t, fmt.Sprint("p", i), got[fmt.Sprint("NextP", i)], nextP[i], 1e-6)
			near(t, fmt.Sprint("m", i), got[fmt.Sprint("NextM", i)], nextM[i], 1e-6)
		}
	}
}

// The root of some second moments is below eps.
func TestAdam(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	const fresh1, fresh2, eps = 0.1, 0.001, 0.03
	r, shapes := seeded(), variableShapes()
	n := len(shapes)
	decay, rate, correct, inv := random(r, f32, n), random(r, f32, 1), array{[]int{1}, []float64{3}}, random(r, f32, 1)
	lists := map[string][]array{}
	for i, s := range shapes {
		p, g, m, v := random(r, f32, s...), random(r, f32, s...), random(r, f32, s...), random(r, f32, s...)
		nextP, nextM, nextV := zeros(s...), zeros(s...), zeros(s...)
		for k, x := range p.data {
			v.data[k] *= v.data[k] * 1e-3
			d := g.data[k] * inv.data[0]
			nextM.data[k] = (1-fresh1)*m.data[k] + fresh1*d
			nextV.data[k] = (1-fresh2)*v.data[k] + fresh2*d*d
			nextP.data[k] = x*(1-decay.data[i]) - rate.data[0]*nextM.data[k]/(math.Sqrt(nextV.data[k]*correct.data[0])+eps)
		}
		for name, a := range map[string]array{"P": p, "G": g, "M": m, "V": v, "NextP": nextP, "NextM": nextM, "NextV": nextV} {
			lists[name] = append(lists[name], a)
		}
	}
	c := newCustom(f32).give("Decay", decay).give("Rate", rate).give("Correct", correct).give("Inv", inv)
	in, out := "Decay Rate Correct Inv", ""
	for _, name := range []string{"P", "G", "M", "V"} {
		in += " " + c.giveList(name, lists[name])
	}
	next := []string{"NextP", "NextM", "NextV"}
	for _, name := range next {
		out += " " + c.wantList(name, shapes)
	}
	got := c.node("Adam", in, strings.TrimSpace(out), onnx.Float("fresh1", fresh1), onnx.Float("fresh2", fresh2), onnx.Float("eps", eps)).run(t)
	for _, name := range next {
		for i, w := range lists[name] {
			near(t, fmt.Sprint(name, i), got[fmt.Sprint(name, i)], w, 1e-6)
		}
	}
}

func TestBlend(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	// The number of sources in each list: one, or several that are stacked.
	for _, lists := range [][]int{{1}, {1, 1}, {1, 1, 1}, {1, 2}} {
		r, shapes, sources := seeded(), variableShapes(), 0
		for _, k := range lists {
			sources += k
		}
		n := len(shapes)
		weights, want := random(r, f32, sources, n), make([]array, n)
		c := newCustom(f32).give("Weights", weights)
		in, source := "Weights", 0
		for l, stacked := range lists {
			xs := make([]array, n)
			for i, s := range shapes {
				if l == 0 {
					want[i] = zeros(s...)
				}
				if stacked > 1 {
					s = append([]int{stacked}, s...)
				}
				xs[i] = random(r, f32, s...)
				size := len(want[i].data)
				for j, v := range xs[i].data {
					want[i].data[j%size] += weights.data[(source+j/size)*n+i] * v
				}
			}
			source += stacked
			in += " " + c.giveList(fmt.Sprintf("X%d.", l), xs)
		}
		got := c.node("Blend", in, c.wantList("Y", shapes)).run(t)
		for i, w := range want {
			near(t, fmt.Sprint("blend ", i), got[fmt.Sprint("Y", i)], w, 1e-6)
		}
	}
}

// A node whose lists do not match is rejected, with the reason.
func TestWrongLists(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	wrongLists(t, []wrongList{
		{"Dots", "A A B", "Y", "3 tensors are not 2 for each variable"},
		{"Dots", "A B B A", "Y", "tensor 2 is not of the shape of its variable"},
		{"Momentum", "A A One B B B", "Y Z", "decay or rate is not a number for each variable"},
		{"Momentum", "One One A B B B", "Y Z", "lr is not one number"},
		{"Momentum", "One One One B B B", "Y", "an output is left out"},
		{"Adam", "One One One One A A B B", "X Y Z", "tensor 2 is not of the shape of its variable"},
		{"Adam", "A One One One B B B B", "X Y Z", "decay is not a number for each variable"},
		{"Adam", "One One A One B B B B", "X Y Z", "rate, correct or inv is not one number"},
		{"Adam", "One One One One B B B B", "X Y", "an output is left out"},
		{"Blend", "A B B", "Y", "weights are not [1 to 3, n]"},
		{"Blend", "Two B B", "Y Z", "weights are for 2 sources, not 1"},
	})
}

type wrongList struct{ op, in, out, want string }

func wrongLists(t *testing.T, rows []wrongList) {
	t.Helper()
	for _, row := range rows {
		r := seeded()
		c := newCustom(f16).give("A", random(r, f32, 2)).give("B", random(r, f32, 3)).give("One", random(r, f32, 1)).give("Two", random(r, f32, 2, 2)).give("like", zeros(1))
		c.node(row.op, row.in, row.out, onnx.Float("momentum", 0.5), onnx.Float("fresh1", 0.5), onnx.Float("fresh2", 0.5), onnx.Float("eps", 0.5))
		name := row.out[:1]
		dims := []int{-1}
		if row.op == "Dots" {
			dims = []int{-1, -1}
		}
		c.g.Output = append(c.g.Output, info(c.typeOf(name), name, dims...))
		refuses(t, c, row.want)
	}
}
