package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"vicreg/models/graph"
	"vicreg/models/ort"
	"vicreg/models/tensor"
	"vicreg/scripts/bench/steps"
)

// group is one computation in several forms.
type group struct {
	name  string
	forms []form
}

// form is a way to compute it: build declares the inputs of a graph, the same ones in
// each form of a group, and returns the results.
type form struct {
	name  string
	build func(g *graph.Graph) []*graph.Value
}

// sink is in the names of the nodes that make operands or use results up, and that do
// not count.
const sink = "sink"

// apart is how far the sums of squares of two forms may differ in float16.
const apart = 0.02

// ops times formulations of operators on the device, as the sum of their nodes with
// each launch waited for. The table is in forms.go.
func ops(_ context.Context, b *bench) error {
	if err := os.Setenv(envBlocking, "1"); err != nil {
		return err
	}
	lib, err := steps.Library(b.device)
	if err != nil {
		return err
	}
	var errs []error
	count := 0
	for _, gr := range groups(b.quick, b.onHost()) {
		fmt.Printf("\n  %s\n  %8s %8s %8s  %s\n", gr.name, "ms", "GB/s", "TFLOP/s", "form")
		reference := math.NaN()
		for _, f := range gr.forms {
			if b.left() < 5*time.Second {
				say("LEFT OUT, for want of time: %s", f.name)
				continue
			}
			count++
			sum, err := b.timeForm(lib, f)
			switch {
			case err != nil:
				say("%s FAILED: %v", f.name, err)
				errs = append(errs, fmt.Errorf("%s, %s: %w", gr.name, f.name, err))
			case math.IsNaN(reference):
				reference = sum
			case !(math.Abs(sum/reference-1) <= apart):
				b.verdict(false, "%s: %s computes something else than %s (sum of squares %g and %g)", gr.name, f.name, gr.forms[0].name, sum, reference)
			}
		}
	}
	b.figures.Add("forms", float64(count))
	b.verdict(len(errs) == 0, "all formulations run on %v", b.device)
	return nil
}

// timeForm prints the time of a form and returns the sum of squares of its results.
func (b *bench) timeForm(lib *ort.Runtime, f form) (sum float64, err error) {
	t, sum, err := b.traceForm(lib, f)
	if err == nil {
		printForm(f.name, t.own())
	}
	return sum, err
}

// traceForm runs a form and returns its profile and the sum of squares of its results.
func (b *bench) traceForm(lib *ort.Runtime, f form) (t *trace, sum float64, err error) {
	g, err := graph.Build("form", func(g *graph.Graph) {
		var out []*graph.Value
		g.Prefix("form", func() { out = f.build(g) })
		g.Prefix(sink, func() { g.Output("sum", squares(g, out)) })
	})
	if err != nil {
		return nil, 0, err
	}
	model, err := g.Marshal()
	if err != nil {
		return nil, 0, err
	}
	prefix := filepath.Join(b.work, "profile-form")
	if err := b.discard(prefix); err != nil {
		return nil, 0, err
	}
	s, err := lib.NewSession(model, ort.Options{Device: b.device, Threads: b.threads, TF32: true, FuseBias: !b.onHost(), ProfilePrefix: prefix})
	if err != nil {
		return nil, 0, err
	}
	warm, runs := 2, 3
	in := noiseFor(s.Inputs())
	for i := 0; i < warm+runs && err == nil; i++ {
		var out tensor.Batch
		if out, err = s.Run(in); err == nil {
			sum = float64(out["sum"].Float32()[0])
		}
	}
	if err := errors.Join(err, s.Close()); err != nil {
		return nil, 0, err
	}
	t, err = b.readProfile(prefix, warm)
	return t, sum, err
}

// squares is the sum of squares of all values, [1].
func squares(g *graph.Graph, all []*graph.Value) *graph.Value {
	var sum *graph.Value
	for _, v := range all {
		x := g.Cast(v, tensor.Float32)
		part := g.ReduceSumSquare(g.Reshape(x, x.Elements()), true, 0)
		if sum == nil {
			sum = part
		} else {
			sum = g.Add(sum, part)
		}
	}
	return sum
}

// own is the trace without what does not count.
func (t *trace) own() trace {
	own := trace{runs: t.runs}
	for _, n := range t.nodes {
		if !strings.Contains(n.Name, sink+"/") {
			own.nodes = append(own.nodes, n)
		}
	}
	return own
}

// printForm prints a line for a form, and one for each of its operators if there are
// several.
func printForm(name string, own trace) {
	all := row{key: name}
	rows := own.rows(byOperator)
	for _, r := range rows {
		all.ms, all.flops, all.bytes = all.ms+r.ms, all.flops+r.flops, all.bytes+r.bytes
	}
	line := func(r row, indent string) {
		tflops := ""
		if r.flops > 0 {
			tflops = fmt.Sprintf("%.2f", r.flops/r.ms/1e9)
		}
		fmt.Printf("  %8.3f %8.0f %8s  %s%s\n", r.ms, r.bytes/r.ms/1e6, tflops, indent, r.key)
	}
	line(all, "")
	if len(rows) > 1 {
		for _, r := range rows {
			r.key = fmt.Sprintf("%.0f %s", r.calls, r.key)
			line(r, "    ")
		}
	}
}

// noiseFor makes random inputs, which depend on their names: every form of a group gets
// the same. Integers are zeros: they are for constants of a graph.
func noiseFor(specs []tensor.Spec) tensor.Batch {
	b := tensor.Batch{}
	for _, spec := range specs {
		name := fnv.New64a()
		name.Write([]byte(spec.Name))
		r, t := rand.New(rand.NewPCG(1, name.Sum64())), tensor.New(spec.Type, spec.Shape...)
		switch d := t.Data.(type) {
		case []float32:
			for i := range d {
				d[i] = float32(r.NormFloat64())
			}
		case []uint16:
			for i := range d {
				d[i] = half(float32(r.NormFloat64()), spec.Type)
			}
		}
		b[spec.Name] = t
	}
	return b
}

// half cuts a number to float16 or bfloat16; what float16 has no normal number for
// becomes 0.
func half(x float32, t tensor.DType) uint16 {
	bits := math.Float32bits(x)
	if t == tensor.BFloat16 {
		return uint16(bits >> 16)
	}
	exponent := int(bits>>23&0xff) - 127 + 15
	if exponent < 1 || exponent > 30 {
		return 0
	}
	return uint16(bits>>16&0x8000) | uint16(exponent)<<10 | uint16(bits>>13&0x3ff)
}
