package ort_test

import (
	"fmt"
	"strings"
	"testing"

	"vicreg/models/onnx"
	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/ort/standin"
)

// Wherever in a run the device's memory runs out, the run fails and says so, and the process goes
// on: with a little more memory each time, the model runs in the end.
func TestCustomOperatorsWithoutMemory(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	m := newNorm(f32, true, false, false, 2, 8, 8, 32).model(f32)
	b, err := onnx.Marshal(m.model())
	if err != nil {
		t.Fatal(err)
	}
	failed := map[string]int{} // by the node that failed
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
