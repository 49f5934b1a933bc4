package ort_test

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
)

var variables = []ort.Variable{{In: "w", Out: "w.next"}, {In: "n", Out: "n.next"}}

func initial() map[string]*tensor.Tensor {
	return map[string]*tensor.Tensor{
		"w": tensor.Of([]float32{1, 2, 3, 4, 5, 6}, 2, 3),
		"n": tensor.Of([]int64{10}),
	}
}

func batch(lr float32) tensor.Batch {
	return tensor.Batch{"x": tensor.Of([]float32{1, -1, 0.5, 2, 0, -2}, 2, 3), "lr": tensor.Of([]float32{lr})}
}

// prepare makes the steppers of the tests; TestStateOnDevice replaces it.
var prepare = ort.NewStepper

func newStepper(t *testing.T) *ort.Stepper {
	t.Helper()
	st, err := prepare(orttest.Session(t, stepModel(), ort.Options{}), ort.StepperConfig{State: variables})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

func started(t *testing.T) *ort.Stepper {
	t.Helper()
	st := newStepper(t)
	if err := st.Restore(initial()); err != nil {
		t.Fatal(err)
	}
	return st
}

func step(t *testing.T, st *ort.Stepper, lr float32) map[string]float64 {
	t.Helper()
	out, err := st.Step(batch(lr))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func weights(t *testing.T, st *ort.Stepper) []float32 {
	t.Helper()
	s, err := st.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	err = st.Each(func(name string, x *tensor.Tensor) {
		if !reflect.DeepEqual(x, s[name]) {
			t.Errorf("%s is %v, and %v at a look", name, s[name], x)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return s["w"].Float32()
}

// TestSteps mirrors 12 steps in Go, every third of them rejected, so that the two sets are read
// and written in every order.
func TestSteps(t *testing.T) {
	st := started(t)
	w, n := initial()["w"].Float32(), int64(10)
	for i := range 12 {
		lr := float32(i+1) / 8
		x := batch(lr)["x"].Float32()
		var loss, norm float64
		for j := range w {
			loss += float64(w[j] * x[j])
			norm += float64(w[j] * w[j])
		}
		out := step(t, st, lr)
		if want := map[string]float64{"loss": loss, "norm": norm}; !maps.Equal(out, want) {
			t.Fatalf("step %d: scalars %v, want %v", i, out, want)
		}
		if i%3 == 2 {
			st.Reject()
		} else {
			st.Accept()
			for j := range w {
				w[j] -= lr * x[j]
			}
			n++
		}
		s, err := st.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if got := s["w"].Float32(); !slices.Equal(got, w) || s["n"].Data.([]int64)[0] != n {
			t.Fatalf("step %d: state %v and %v, want %v and %d", i, got, s["n"].Data, w, n)
		}
	}
}

// TestBatchesInTheRuntimesMemory steps on two batches of the stepper's own and one from
// elsewhere, alone and mixed, in every order and in either direction.
func TestBatchesInTheRuntimesMemory(t *testing.T) {
	st, plain := started(t), started(t)
	var own [2]tensor.Batch
	for i := range own {
		var err error
		if own[i], err = st.NewBatch(); err != nil {
			t.Fatal(err)
		}
		if len(own[i]) != 2 || !slices.Equal(own[i]["x"].Float32(), make([]float32, 6)) || !slices.Equal(own[i]["lr"].Shape, []int{1}) {
			t.Fatalf("a new batch is %v", own[i])
		}
	}
	for i := range 40 {
		in := batch(float32(i+1) / 64)
		in["x"].Float32()[i%6] += float32(i)
		given := in
		if at := i / 2 % 3; at < 2 {
			given = maps.Clone(own[at])
			for name := range in {
				if err := given[name].CopyFrom(in[name]); err != nil {
					t.Fatal(err)
				}
			}
			if i%5 == 4 {
				given["lr"] = in["lr"]
			}
		}
		got, err := st.Step(given)
		if err != nil {
			t.Fatal(err)
		}
		want, err := plain.Step(in)
		if err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(got, want) {
			t.Fatalf("step %d: %v, want %v", i, got, want)
		}
		if i%3 != 1 {
			st.Accept()
			plain.Accept()
		}
		st.Reject()
		plain.Reject()
		if got, want := weights(t, st), weights(t, plain); !slices.Equal(got, want) {
			t.Fatalf("step %d: weights %v, want %v", i, got, want)
		}
	}
}

func TestABatchOfTheStepperIsNotCopied(t *testing.T) {
	st := started(t)
	own, err := st.NewBatch()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Step(own); err != nil {
		t.Fatal(err)
	}
	st.Accept()
	if n := ort.Copies(st); n != 0 {
		t.Errorf("%d inputs were copied", n)
	}
	own["lr"] = tensor.Of([]float32{1})
	if _, err := st.Step(own); err != nil {
		t.Fatal(err)
	}
	if n := ort.Copies(st); n != 1 {
		t.Errorf("with one tensor from elsewhere, %d inputs were copied", n)
	}
}

func TestPending(t *testing.T) {
	st := started(t)
	step(t, st, 1)
	if got := weights(t, st); !slices.Equal(got, initial()["w"].Float32()) {
		t.Errorf("a pending step shows in the snapshot: %v", got)
	}
	if _, err := st.Step(batch(1)); err == nil || !strings.Contains(err.Error(), "neither accepted nor rejected") {
		t.Errorf("a step over a pending one gave %v", err)
	}
	st.Accept()
	after := weights(t, st)
	st.Accept()
	st.Reject()
	if got := weights(t, st); !slices.Equal(got, after) {
		t.Errorf("accepting twice changed the state from %v to %v", after, got)
	}
}

func TestSnapshotRestore(t *testing.T) {
	st := started(t)
	step(t, st, 1)
	st.Accept()
	saved, err := st.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	kept := saved["w"].Clone()
	first := step(t, st, 0.5)
	st.Accept()
	if !reflect.DeepEqual(saved["w"], kept) {
		t.Error("a snapshot changed with a later step")
	}
	step(t, st, 1) // left pending: Restore drops it
	if err := st.Restore(saved); err != nil {
		t.Fatal(err)
	}
	saved["w"].Float32()[0] = 1e9
	if again := step(t, st, 0.5); !maps.Equal(first, again) {
		t.Errorf("after a restore the step gave %v, before %v", again, first)
	}
}

func TestRestoreRefuses(t *testing.T) {
	st := started(t)
	for want, damage := range map[string]func(s map[string]*tensor.Tensor){
		`state "w" is missing`:                           func(s map[string]*tensor.Tensor) { delete(s, "w") },
		`state "v": the graph has no such state`:         func(s map[string]*tensor.Tensor) { s["v"] = s["w"] },
		`state "w" is float32[3 2], the graph wants`:     func(s map[string]*tensor.Tensor) { s["w"].Shape = []int{3, 2} },
		`state "w" is float64[2 3], the graph wants`:     func(s map[string]*tensor.Tensor) { s["w"] = tensor.New(tensor.Float64, 2, 3) },
		`state "w": []float32 does not hold float32[2 3`: func(s map[string]*tensor.Tensor) { s["w"].Data = []float32{1} },
	} {
		s := initial()
		s["n"].Data.([]int64)[0] = 99
		damage(s)
		refused(t, st.Restore(s), "restore: "+want)
	}
	s, err := st.Snapshot()
	if err != nil || !reflect.DeepEqual(s, initial()) {
		t.Errorf("a refused restore left %v, %v", s, err)
	}
}

func TestStepRefuses(t *testing.T) {
	st := newStepper(t)
	_, err := st.Step(batch(1))
	refused(t, err, "step: no state yet")
	_, err = st.Snapshot()
	refused(t, err, "snapshot: no state yet")
	if err := st.Restore(initial()); err != nil {
		t.Fatal(err)
	}
	for want, damage := range map[string]func(b tensor.Batch){
		`input "x" is missing`:                                    func(b tensor.Batch) { delete(b, "x") },
		`input "w": no such input (the model wants x, lr)`:        func(b tensor.Batch) { b["w"] = b["x"] },
		`input "lr" is float32[2], the model wants float32[1]`:    func(b tensor.Batch) { b["lr"] = tensor.New(tensor.Float32, 2) },
		`input "x" is uint8[2 3], the model wants float32[2 3]`:   func(b tensor.Batch) { b["x"] = tensor.New(tensor.Uint8, 2, 3) },
		`input "x": []float64 does not hold float32[2 3]`:         func(b tensor.Batch) { b["x"].Data = make([]float64, 6) },
		`input "x": []float32 does not hold float32[2 3]`:         func(b tensor.Batch) { b["x"].Data = make([]float32, 5) },
		`input "x" is float32[3 2], the model wants float32[2 3]`: func(b tensor.Batch) { b["x"].Shape = []int{3, 2} },
		`input "lr" is float32[], the model wants float32[1]`:     func(b tensor.Batch) { b["lr"] = tensor.New(tensor.Float32) },
	} {
		b := batch(1)
		damage(b)
		_, err := st.Step(b)
		refused(t, err, "step: "+want)
	}
	// A step that fails validation leaves nothing pending.
	step(t, st, 1)
}

func TestNewStepperRefuses(t *testing.T) {
	s := orttest.Session(t, stepModel(), ort.Options{})
	for want, cfg := range map[string]ort.StepperConfig{
		`state "v": no such input`:                       {State: []ort.Variable{{In: "v", Out: "w.next"}}},
		`state "w": no such output "gone"`:               {State: []ort.Variable{{In: "w", Out: "gone"}}},
		`state "w": float32[2 3] becomes int64[1] in`:    {State: []ort.Variable{{In: "w", Out: "n.next"}}},
		`state "w": given twice`:                         {State: append(slices.Clone(variables), variables[0])},
		`output "n.next" is int64[1]: neither state nor`: {State: variables[:1]},
	} {
		_, err := ort.NewStepper(s, cfg)
		refused(t, err, "prepare step: "+want)
	}
	symbolic := newBuilder().input(tensor.Float32, "w", -1).output(tensor.Float32, "w.next", -1).node("Neg", "w.next", "w").model()
	_, err := ort.NewStepper(orttest.Session(t, symbolic, ort.Options{}), ort.StepperConfig{State: variables[:1]})
	refused(t, err, `prepare step: "w": [-1] has a symbolic dimension`)
}

// TestFailedStep makes the run itself fail with an index out of range.
func TestFailedStep(t *testing.T) {
	m := newBuilder().
		input(tensor.Float32, "w", 3).input(tensor.Int64, "at", 3).output(tensor.Float32, "w.next", 3).
		node("Gather", "w.next", "w", "at").model()
	st, err := ort.NewStepper(orttest.Session(t, m, ort.Options{}), ort.StepperConfig{State: variables[:1]})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if err := st.Restore(map[string]*tensor.Tensor{"w": tensor.Of([]float32{1, 2, 3})}); err != nil {
		t.Fatal(err)
	}
	_, err = st.Step(tensor.Batch{"at": tensor.Of([]int64{0, 1, 7})})
	refused(t, err, "step: ")
	st.Accept()
	if got := weights(t, st); !slices.Equal(got, []float32{1, 2, 3}) {
		t.Errorf("a failed step changed the state to %v", got)
	}
	if _, err := st.Step(tensor.Batch{"at": tensor.Of([]int64{2, 1, 0})}); err != nil {
		t.Fatal(err)
	}
	st.Accept()
	if got := weights(t, st); !slices.Equal(got, []float32{3, 2, 1}) {
		t.Errorf("the step after a failed one gave %v", got)
	}
}

func TestCloseStepper(t *testing.T) {
	st := started(t)
	for range 2 {
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	}
	st.Accept()
	_, err := st.Step(batch(1))
	refused(t, err, "step: the stepper is closed")
	_, err = st.Snapshot()
	refused(t, err, "snapshot: the stepper is closed")
	refused(t, st.Restore(initial()), "restore: the stepper is closed")
	_, err = st.NewBatch()
	refused(t, err, "new batch: the stepper is closed")
}

// refused checks that there is an error, that it starts as wanted and that it is one line.
func refused(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("want %q, got %v", want, err)
	}
}
