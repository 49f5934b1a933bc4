package ort_test

import (
	"slices"
	"testing"

	"vicreg/models/onnx"
	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
)

// wide is the size of an input that is copied ahead.
const wide = 2048

// wideModel returns the batch as the new state, and the rate as the loss.
func wideModel() *onnx.ModelProto {
	const f32 = tensor.Float32
	return newBuilder().input(f32, "w", wide).input(f32, "x", wide).input(f32, "lr", 1).
		output(f32, "w.next", wide).output(f32, "loss", 1).
		node("Identity", "w.next", "x").node("Identity", "loss", "lr").model()
}

// Whatever is announced, given, changed, accepted or rejected, a step reads the batch that it is
// given, with its contents at that time.
func TestBatchesCopiedAhead(t *testing.T) { aheadOfSteps(t, ort.NewDeviceStepper, ort.Options{}) }

func TestBatchesCopiedAheadOnCUDA(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	for _, capture := range []bool{false, true} {
		aheadOfSteps(t, ort.NewStepper, ort.Options{Device: cuda, Capture: capture})
	}
}

func aheadOfSteps(t *testing.T, prepare func(*ort.Session, ort.StepperConfig) (*ort.Stepper, error), o ort.Options) {
	st, err := prepare(orttest.Session(t, wideModel(), o), ort.StepperConfig{State: []ort.Variable{{In: "w", Out: "w.next"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if err := st.Restore(map[string]*tensor.Tensor{"w": tensor.New(tensor.Float32, wide)}); err != nil {
		t.Fatal(err)
	}
	batches, r, number := make([]tensor.Batch, 3), seeded(), float32(0)
	for i := range batches {
		if batches[i], err = st.NewBatch(); err != nil {
			t.Fatal(err)
		}
	}
	fill := func(b tensor.Batch) {
		number++
		for i := range b["x"].Float32() {
			b["x"].Float32()[i] = number + float32(i)
		}
	}
	state, announced, ahead := make([]float32, wide), -1, 0
	for step := range 200 {
		now := announced
		if now < 0 || r.IntN(4) == 0 { // another than announced
			now = r.IntN(len(batches))
		}
		if now != announced {
			fill(batches[now])
		}
		batches[now]["lr"].Float32()[0] = float32(step)
		var next tensor.Batch
		if announced = r.IntN(len(batches)+1) - 1; announced >= 0 {
			if next = batches[announced]; announced != now {
				fill(next)
			}
		}
		before := st.Traffic().ToDevice
		out, err := st.StepAhead(batches[now], next)
		if err != nil {
			t.Fatal(err)
		}
		if st.Traffic().ToDevice-before > 4*wide+4 {
			ahead++
		}
		if out["loss"] != float64(step) {
			t.Fatalf("step %d: loss %v", step, out["loss"])
		}
		if r.IntN(3) == 0 {
			st.Reject()
		} else {
			st.Accept()
			copy(state, batches[now]["x"].Float32())
		}
		if s, err := st.Snapshot(); err != nil || !slices.Equal(s["w"].Float32(), state) {
			t.Fatalf("step %d on batch %d: state %v, want %v (%v)", step, now, s["w"].Float32()[:2], state[:2], err)
		}
	}
	if ahead == 0 {
		t.Error("no batch was copied ahead")
	}
}

// The reserve is allocated at once, and a step that fits into it allocates no more.
func TestReserve(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	const f32, n = tensor.Float32, 1 << 20
	m := newBuilder().input(f32, "w", n).input(f32, "x", n).input(f32, "lr", 1).
		output(f32, "w.next", n).output(f32, "loss", 1).value(tensor.Float16, "half", n).
		node("Cast", "half", "x").node("Cast", "w.next", "half").node("Identity", "loss", "lr").model()
	for i, to := range []tensor.DType{tensor.Float16, f32} {
		m.Graph.Node[i].Attribute = []*onnx.AttributeProto{onnx.Int("to", int64(to))}
	}
	for reserve, grows := range map[int64]bool{0: true, 3 * n: false} {
		st, err := ort.NewStepper(orttest.Session(t, m, ort.Options{Device: cuda}), ort.StepperConfig{State: []ort.Variable{{In: "w", Out: "w.next"}}, Reserve: reserve})
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		if err := st.Restore(map[string]*tensor.Tensor{"w": tensor.New(f32, n)}); err != nil {
			t.Fatal(err)
		}
		before, err := st.DeviceMemory()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := st.Step(tensor.Batch{"x": tensor.New(f32, n), "lr": tensor.New(f32, 1)}); err != nil {
			t.Fatal(err)
		}
		after, err := st.DeviceMemory()
		if err != nil || (after > before) != grows || before < reserve {
			t.Errorf("with %d bytes reserved %d were taken before a step and %d after it (%v)", reserve, before, after, err)
		}
	}
}
