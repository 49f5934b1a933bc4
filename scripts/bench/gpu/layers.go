package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"vicreg/models"
	"vicreg/models/grad"
	"vicreg/models/graph"
	"vicreg/models/ort"
	"vicreg/models/tensor"
	"vicreg/scripts/bench/steps"
)

// layers times each kind of layer of a step by itself, forwards and backwards, in every
// form that a graph for CUDA can take, and adds up what all layers would take in each.
func layers(_ context.Context, b *bench, s steps.Setup) error {
	if b.onHost() {
		return fmt.Errorf("%w: the forms of layers are for CUDA", errSkipped)
	}
	if err := os.Setenv(envBlocking, "1"); err != nil {
		return err
	}
	lib, err := steps.Library(b.device)
	if err != nil {
		return err
	}
	c, err := steps.Describe(b.setup(s, "fp16"))
	if err != nil {
		return err
	}
	all, count, err := models.Layers(c)
	if err != nil {
		return err
	}
	t := newFormTable(b)
	for i, l := range all {
		t.time(lib, l, float64(2*count[i]))
	}
	t.print(len(all))
	return nil
}

// formTable has the milliseconds of all layers by form.
type formTable struct {
	b       *bench
	total   []float64 // by form; NaN where one failed
	best    float64   // of each layer's fastest
	counted int
}

func newFormTable(b *bench) *formTable {
	return &formTable{b: b, total: make([]float64, len(graph.AllForms()))}
}

// time measures one kind of layer, of which a step has so many.
func (t *formTable) time(lib *ort.Runtime, l grad.Layer, count float64) {
	if t.b.left() < 10*time.Second {
		return
	}
	t.counted++
	fmt.Printf("\n  %.0f x %d images, %d to %d channels, %dx%d px, window %v, residual %v\n", count, l.N, l.C, l.M, l.H, l.W, l.Window, l.Residual)
	fastest, reference := math.Inf(1), math.NaN()
	for i, f := range graph.AllForms() {
		l.Forms = f.Forms
		trace, sum, err := t.b.traceForm(lib, form{f.Name, buildLayer(l)})
		ms := math.NaN()
		if err == nil {
			own := trace.own()
			ms = own.total()
			fastest = min(fastest, ms)
			if math.IsNaN(reference) {
				reference = sum
			}
			printForm(f.Name, own)
		} else {
			say("%s FAILED: %v", f.Name, err)
		}
		if !(math.Abs(sum/reference-1) <= apart) {
			t.b.verdict(false, "%s computes something else than the form before it (sum of squares %g and %g)", f.Name, sum, reference)
		}
		t.total[i] += count * ms
	}
	t.best += count * fastest
}

func (t *formTable) print(kinds int) {
	fmt.Printf("\n  all layers of a step (%d of %d kinds), each launch waited for\n", t.counted, kinds)
	names := graph.AllForms()
	order := make([]int, len(names))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return int(1000 * (t.total[a] - t.total[b])) })
	for _, i := range order {
		fmt.Printf("  %8.2f ms  %s\n", t.total[i], names[i].Name)
	}
	fmt.Printf("  %8.2f ms  the fastest form of each\n", t.best)
	t.b.figures.Add("kinds", float64(t.counted))
	t.b.figures.Add("best_ms", t.best)
}

// buildLayer builds a layer on operands of which one image comes from outside.
func buildLayer(l grad.Layer) func(*graph.Graph) []*graph.Value {
	return func(g *graph.Graph) (out []*graph.Value) {
		input := func(name string, typ tensor.DType, shape ...int) (v *graph.Value) {
			g.Prefix(sink, func() {
				if len(shape) != 4 || shape[0] != l.N {
					v = g.Input(name, typ, shape...)
					return
				}
				one := slices.Clone(shape)
				one[0] = 1
				v = g.Expand(g.Input(name, typ, one...), shape...)
			})
			return v
		}
		for _, v := range l.Build(g, input) {
			out = append(out, v)
		}
		return out
	}
}
