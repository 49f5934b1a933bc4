package ort_test

import (
	"testing"

	"vicreg/models/ort"
)

// The guarantees of a stepper hold for a state in memory of the runtime's own allocators, reached
// by its copies, as on a device.
func TestStateOnDevice(t *testing.T) {
	prepare = ort.NewDeviceStepper
	defer func() { prepare = ort.NewStepper }()
	for name, test := range map[string]func(*testing.T){
		"steps": TestSteps, "batches": TestBatchesInTheRuntimesMemory, "pending": TestPending, "snapshot": TestSnapshotRestore,
		"refused": TestRestoreRefuses, "unfit": TestStepRefuses, "failed": TestFailedStep, "close": TestCloseStepper,
	} {
		t.Run(name, test)
	}
}

// A step moves the batch (6 float32 and the rate) and the scalars; the state moves only on
// request.
func TestTraffic(t *testing.T) {
	prepare = ort.NewDeviceStepper
	defer func() { prepare = ort.NewStepper }()
	st := started(t)
	const state, in, out = 6*4 + 8, 6*4 + 4, 4 + 8
	want := ort.Traffic{ToDevice: state}
	check := func(when string) {
		t.Helper()
		if got := st.Traffic(); got != want {
			t.Fatalf("%s: %+v, want %+v", when, got, want)
		}
	}
	check("restored")
	for range 3 {
		step(t, st, 1)
		st.Accept()
		want.ToDevice += in
		want.FromDevice += out
	}
	check("after three steps")
	weights(t, st)
	want.FromDevice += 2 * state
	check("after a snapshot and a look")
	if on := newHostStepper(t); on.Traffic() != (ort.Traffic{}) {
		t.Errorf("on the host: %+v", on.Traffic())
	}
}

func newHostStepper(t *testing.T) *ort.Stepper {
	t.Helper()
	prepare = ort.NewStepper
	st := started(t)
	step(t, st, 1)
	return st
}
