package ort_test

import (
	"reflect"
	"slices"
	"testing"

	"vicreg/models/onnx"
	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
)

var cuda = ort.Device{Kind: tensor.CUDA}

// copyModel is a step for which even a device that computes nothing returns the right answer,
// since it only copies: the state becomes the batch, and the loss the rate.
func copyModel() *onnx.ModelProto {
	const f32 = tensor.Float32
	return newBuilder().
		input(f32, "w", 2, 3).input(tensor.Int64, "n", 1).input(f32, "x", 2, 3).input(tensor.Int64, "k", 1).input(f32, "lr", 1).
		output(f32, "w.next", 2, 3).output(tensor.Int64, "n.next", 1).output(f32, "loss", 1).
		node("Identity", "w.next", "x").node("Identity", "n.next", "k").node("Identity", "loss", "lr").model()
}

// The runtime's own CUDA provider keeps the state, copying to and from its device, through
// accepted and rejected steps; with and without captured launches.
func TestStepsOnCUDA(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	for _, capture := range []bool{false, true} {
		s := orttest.Session(t, copyModel(), ort.Options{Device: cuda, Capture: capture})
		st, err := ort.NewStepper(s, ort.StepperConfig{State: variables})
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		if err := st.Restore(initial()); err != nil {
			t.Fatal(err)
		}
		own, err := st.NewBatch()
		if err != nil {
			t.Fatal(err)
		}
		want := initial()
		for i := range 9 {
			v := float32(i)
			in := tensor.Batch{"x": tensor.Of([]float32{v, 1, 2, 3, 4, v}, 2, 3), "k": tensor.Of([]int64{int64(i)}), "lr": tensor.Of([]float32{v / 2})}
			if i%2 == 1 { // in pinned memory
				for name, x := range in {
					if err := own[name].CopyFrom(x); err != nil {
						t.Fatal(err)
					}
				}
				in = own
			}
			out, err := st.Step(in)
			if err != nil {
				t.Fatal(err)
			}
			if out["loss"] != float64(v/2) {
				t.Fatalf("step %d gives loss %v", i, out["loss"])
			}
			if i%3 == 2 {
				st.Reject()
			} else {
				st.Accept()
				want["w"], want["n"] = in["x"].Clone(), in["k"].Clone()
			}
			got, err := st.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			seen := 0
			err = st.Each(func(name string, x *tensor.Tensor) {
				seen++
				if !reflect.DeepEqual(x.Data, got[name].Data) {
					t.Errorf("step %d: %s is %v, and %v at a look", i, name, got[name].Data, x.Data)
				}
			})
			if err != nil || seen != len(got) {
				t.Errorf("%d tensors seen, %v", seen, err)
			}
			if !slices.Equal(got["w"].Float32(), want["w"].Float32()) || got["n"].Data.([]int64)[0] != want["n"].Data.([]int64)[0] {
				t.Fatalf("capture %v, step %d: %v %v, want %v %v", capture, i, got["w"].Data, got["n"].Data, want["w"].Data, want["n"].Data)
			}
		}
		const batch, state = 6*4 + 8 + 4, 6*4 + 8
		if got, want := st.Traffic(), (ort.Traffic{ToDevice: state + 9*batch, FromDevice: 9*4 + 2*9*state}); got != want {
			t.Errorf("%+v moved, want %+v", got, want)
		}
		if bytes, err := st.DeviceMemory(); err != nil || bytes < 2*state+batch {
			t.Errorf("%d bytes of the device are taken (%v)", bytes, err)
		}
	}
}

// A session reports what it runs where.
func TestPlacement(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	s := orttest.Session(t, stepModel(), ort.Options{Device: cuda})
	placed, err := s.Placement()
	if err != nil {
		t.Fatal(err)
	}
	nodes := 0
	for _, p := range placed {
		nodes += p.Nodes
	}
	if nodes < 8 || len(ort.Strangers(placed, cuda)) > 0 || s.Device() != cuda {
		t.Errorf("on %v: %v", s.Device(), placed)
	}
	// The CUDA provider has no STFT.
	m := newBuilder().input(tensor.Float32, "x", 1, 8, 1).output(tensor.Float32, "y", 1, 2, 3, 2).
		node("STFT", "y", "x", "step", "", "length").model()
	m.Graph.Initializer = []*onnx.TensorProto{
		onnx.TensorOf(&tensor.Tensor{Type: tensor.Int64, Shape: []int{}, Data: []int64{4}}, "step"),
		onnx.TensorOf(&tensor.Tensor{Type: tensor.Int64, Shape: []int{}, Data: []int64{4}}, "length"),
	}
	if placed, err = orttest.Session(t, m, ort.Options{Device: cuda}).Placement(); err != nil {
		t.Fatal(err)
	}
	if got := ort.Strangers(placed, cuda); len(got) != 1 || got[0] != (ort.Placed{Provider: "CPU", Operator: "STFT", Nodes: 1}) {
		t.Errorf("placed %v", placed)
	}
}

// A model that reads on the device and returns on the host, like the encoder's.
func TestRunOnCUDA(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	m := newBuilder().input(tensor.Float32, "x", -1, 2).output(tensor.Float32, "y", -1, 2).node("Identity", "y", "x").model()
	s := orttest.Session(t, m, ort.Options{Device: cuda})
	for n := 1; n < 4; n++ {
		x := tensor.New(tensor.Float32, n, 2)
		for i := range x.Float32() {
			x.Float32()[i] = float32(n + i)
		}
		out, err := s.RunContext(t.Context(), tensor.Batch{"x": x})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(out["y"].Float32(), x.Float32()) {
			t.Errorf("%d rows: %v", n, out["y"].Float32())
		}
	}
}
