package ort_test

import (
	"fmt"
	"strings"
	"testing"

	"vicreg/models/onnx"
	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/ort/standin"
	"vicreg/models/tensor"
)

// A device that lacks bfloat16 is told from one that has it when a session opens.
func TestCustomOperatorsWithoutBFloat16(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	t.Setenv(standin.EnvCapability, "7")
	x := zeros(2, 3)
	for typ, want := range map[tensor.DType]string{bf16: "Sums of vicreg.cuda: bfloat16 needs a device of compute capability 8.0 or higher, and this one has 7.0", f16: ""} {
		m := newCustom(typ).give("x", x).give("z", x).want("Y", 2, 3).node("Sums", "x z", "Y")
		b, err := onnx.Marshal(m.model())
		if err != nil {
			t.Fatal(err)
		}
		s, err := orttest.Open(t).NewSession(b, ort.Options{Device: cuda})
		if err == nil {
			s.Close()
		}
		if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", typ, err, want)
		}
	}
}

// Wherever in a run the memory of the device comes to its end, the run fails and says
// so, and the process goes on: with a little more memory each time, the model runs in
// the end.
func TestCustomOperatorsWithoutMemory(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	m := newNorm(f32, true, false, false, 2, 8, 8, 32).model(f32)
	b, err := onnx.Marshal(m.model())
	if err != nil {
		t.Fatal(err)
	}
	failed := map[string]int{} // by the node that did
	for memory := 0; ; memory += 8 << 10 {
		t.Setenv(standin.EnvMemory, fmt.Sprint(memory))
		s, err := orttest.Open(t).NewSession(b, ort.Options{Device: cuda})
		if err == nil {
			_, err = s.Run(m.in)
			s.Close()
		}
		if err == nil {
			break
		}
		if !strings.Contains(err.Error(), "memory") || memory > 4<<20 {
			t.Fatalf("with %d bytes: %v", memory, err)
		}
		for _, op := range []string{"BatchNorm", "BatchNormGrad"} {
			if strings.Contains(err.Error(), op+" of vicreg.cuda: ") {
				failed[op]++
			}
		}
	}
	if failed["BatchNorm"] == 0 || failed["BatchNormGrad"] == 0 {
		t.Errorf("failed where there was no memory: %v", failed)
	}
}
