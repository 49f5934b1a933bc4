package grad

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/graph/reference"
	"vicreg/models/tensor"
)

// twoViews is a network in half precision, with two views of a batch, whose parameters are used in
// all ways: by convolutions (some channels only of the first weights), by products over few rows
// and over many, by normalisations, once, three times, and not at all.
func twoViews(t *testing.T, k kind, typ tensor.DType, also func(g *graph.Graph, half value) []value) *graph.Graph {
	t.Helper()
	g, err := graph.Build("views", func(g *graph.Graph) {
		g.Device, g.CustomOps = k.device, k.custom
		param := func(name string, shape ...int) value { return g.Input(name, tensor.Float32, shape...) }
		half := func(v value) value { return g.CastOnce(v, typ) }
		first, second, one := param("first", 8, 3, 3, 3), param("second", 8, 8, 3, 3), param("one", 8, 8, 1, 1)
		gamma, beta := param("gamma", 8), param("beta", 8)
		wide, narrow, bias := param("wide", 40, 8), param("narrow", 2, 40), param("bias", 2)
		once, thrice, mixed, unused := param("once", 2, 3), param("thrice", 2, 3), param("mixed", 2, 3), param("unused", 4)
		var y value
		for i := range 2 {
			x := half(g.Input(fmt.Sprintf("x%d", i), tensor.Float32, 4, 3, 6, 6))
			x, _, _ = ConvNorm(g, x, half(first), graph.Square(3, 1, 1), gamma, beta, BatchNormOptions{Eps: 1e-3})
			x = Conv(g, Conv(g, x, half(second), graph.Square(3, 2, 1)), half(one), graph.Square(1, 1, 0))
			x = g.Gemm(g.ToPlain(GlobalAveragePool(g, x)), half(wide), nil, graph.GemmAttr{TransB: true})
			x = g.Gemm(x, half(narrow), half(bias), graph.GemmAttr{TransB: true})
			z := g.ReduceSumSquare(g.Cast(x, tensor.Float32), false, 0, 1)
			if i == 1 {
				y = g.Add(y, g.Add(z, g.ReduceSumSquare(g.Mul(once, mixed), false, 0, 1)))
				z = g.ReduceSum(g.Cast(g.Mul(half(mixed), half(mixed)), tensor.Float32), false, 0, 1)
			}
			for range 1 + i {
				z = g.Add(z, g.ReduceSumSquare(thrice, false, 0, 1))
			}
			if y == nil {
				y = z
			} else {
				y = g.Add(y, z)
			}
		}
		wrt := []value{first, second, one, gamma, beta, wide, narrow, bias, once, thrice, mixed, unused}
		wrt = append(wrt, also(g, half(second))...)
		for i, d := range Gradients(g, y, g.Float(1), wrt) {
			switch {
			case (d == nil) != (wrt[i] == unused):
				t.Errorf("the gradient of %s is %v", wrt[i].Name, d)
			case d != nil && (i < 12 && d.Type != tensor.Float32 || fmt.Sprint(d.Shape) != fmt.Sprint(wrt[i].Shape)):
				t.Errorf("the gradient of %s%v is %v%v", wrt[i].Name, wrt[i].Shape, d.Type, d.Shape)
			case d != nil:
				g.Output(fmt.Sprint("d", i), g.Cast(d, tensor.Float32))
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func none(*graph.Graph, value) []value { return nil }

// All gradients of parameters are added up in one node per type, with the same results as
// elsewhere, even if the gradient of a half-precision copy is requested as well.
func TestLeavesInTwoNodes(t *testing.T) {
	cudnn := kind{device: tensor.CUDA, custom: true}
	for name, also := range map[string]func(*graph.Graph, value) []value{
		"parameters": none, "a copy": func(g *graph.Graph, half value) []value { return []value{half} },
	} {
		host, device := twoViews(t, kind{}, tensor.Float16, also), twoViews(t, cudnn, tensor.Float16, also)
		in, rng := map[string][]float64{}, rand.New(rand.NewPCG(3, 4))
		for _, v := range host.Inputs {
			in[v.Name] = draw(rng, (*rand.Rand).NormFloat64, v.Elements())
		}
		want, err := reference.Run(host, in)
		if err != nil {
			t.Fatal(err)
		}
		got, err := reference.Run(device, in)
		if err != nil {
			t.Fatal(err)
		}
		for d, w := range want {
			if e := relative(got[d], w); !(e <= 1e-6) {
				t.Errorf("%s: %s is off by %.1e", name, d, e)
			}
		}
		if name == "parameters" {
			checkSums(t, device)
			checkSums(t, twoViews(t, cudnn, tensor.BFloat16, also))
		}
	}
}

// checkSums counts the nodes that add up gradients, and those that move the sums.
func checkSums(t *testing.T, g *graph.Graph) {
	t.Helper()
	m, err := g.Model()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for _, n := range m.Graph.Node {
		found[n.OpType]++
		if n.OpType == "Sums" {
			found["summed"] += len(n.Output)
		}
		if n.OpType == "Cast" && strings.HasPrefix(n.Name, "grad/") && strings.Count(n.Name, "/") == 1 {
			found["late casts"]++
		}
	}
	// All are summed except that of wide, which is one product over both views, cast at the end,
	// and that of once. Two of the three parts of mixed are added up beforehand. Two images, two
	// weights and their gradients are transposed, and one of these gradients loses a channel.
	for what, want := range map[string]int{"Sums": 2, "summed": 9, "ConvWeightGrad": 6, "late casts": 3, "Transpose": 6, "Slice": 1} {
		if found[what] != want {
			t.Errorf("%d %s, want %d: %v", found[what], what, want, found)
		}
	}
}
