package ort_test

import (
	"testing"

	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
)

// identityStep scales a state of n floats and ignores two views, to measure the cost of a step
// apart from the model's.
func identityStep(b *testing.B, n int, view ...int) (*ort.Session, tensor.Batch) {
	m := newBuilder().
		input(tensor.Float32, "w", n).input(tensor.Float32, "lr", 1).
		input(tensor.Uint8, "view1", view...).input(tensor.Uint8, "view2", view...).
		output(tensor.Float32, "w.next", n).output(tensor.Float32, "loss", 1).
		node("Mul", "w.next", "w", "lr").node("Neg", "loss", "lr").model()
	in := tensor.Batch{
		"lr":    tensor.Of([]float32{1}),
		"view1": tensor.New(tensor.Uint8, view...),
		"view2": tensor.New(tensor.Uint8, view...),
	}
	return orttest.Session(b, m, ort.Options{}), in
}

// BenchmarkStep shows what copying the batch costs (two views of 256 images of 32 px, then of
// 224, then the same in memory from NewBatch) and what keeping 100 MB of state in place saves;
// the last row is the same graph by Session.Run, which copies its outputs.
func BenchmarkStep(b *testing.B) {
	for _, c := range []struct {
		name  string
		state int
		view  []int
		own   bool
	}{
		{"nothing", 1, []int{1}, false},
		{"batch=256x32px", 1, []int{256, 32, 32, 3}, false},
		{"batch=256x224px", 1, []int{256, 224, 224, 3}, false},
		{"batch=256x224px-in-place", 1, []int{256, 224, 224, 3}, true},
		{"state=100MB", 25 << 20, []int{1}, false},
	} {
		b.Run(c.name, func(b *testing.B) {
			s, in := identityStep(b, c.state, c.view...)
			st, err := ort.NewStepper(s, ort.StepperConfig{State: variables[:1]})
			if err != nil {
				b.Fatal(err)
			}
			defer st.Close()
			if err := st.Restore(map[string]*tensor.Tensor{"w": tensor.New(tensor.Float32, c.state)}); err != nil {
				b.Fatal(err)
			}
			if c.own {
				if in, err = st.NewBatch(); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				if _, err := st.Step(in); err != nil {
					b.Fatal(err)
				}
				st.Accept()
			}
		})
	}
	b.Run("state=100MB-copied", func(b *testing.B) {
		s, in := identityStep(b, 25<<20, 1)
		in["w"] = tensor.New(tensor.Float32, 25<<20)
		for b.Loop() {
			out, err := s.Run(in)
			if err != nil {
				b.Fatal(err)
			}
			in["w"] = out["w.next"]
		}
	})
}
