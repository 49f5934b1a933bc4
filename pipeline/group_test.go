package pipeline

import (
	"errors"
	"strings"
	"testing"

	"vicreg/models/ort"
	"vicreg/models/tensor"
)

// behind is the second of two processes; the first repeats what behind said first.
type behind struct{ said []float32 }

func (b *behind) Rank() int { return 1 }
func (b *behind) Size() int { return 2 }
func (b *behind) AllGather(mine []float32) ([]float32, error) {
	if b.said == nil {
		b.said = mine
	}
	return append(b.said[:len(mine):len(mine)], mine...), nil
}

// seen is a stepper whose state may be iterated over but not copied out.
type seen struct {
	*fakeStepper
	state []float32
}

func (s *seen) Snapshot() (map[string]*tensor.Tensor, error) {
	return nil, errors.New("the state is copied")
}

func (s *seen) Each(f func(string, *tensor.Tensor)) error {
	f("w", tensor.Of(s.state))
	return nil
}

// A process that does not lead checks its state at a checkpoint without copying it, and a single
// differing value ends the run.
func TestCheckpointsCompare(t *testing.T) {
	s := &seen{state: make([]float32, 5000)} // more than one chunk of the checksum
	r := fakeRun(t, &fakeStepper{}, 1)
	r.state, r.joined, r.machine.Device = s, &behind{}, ort.Device{}
	for range 2 {
		if err := r.save(); err != nil {
			t.Fatal(err)
		}
	}
	for _, i := range []int{0, 4999} {
		s.state[i] = 1e-30
		if err := r.save(); err == nil || !strings.Contains(err.Error(), "process 1 and process 0 have different weights") {
			t.Errorf("another number %d: %v", i, err)
		}
		s.state[i] = 0
	}
}

// Processes that read checkpoints of different steps do not train together.
func TestAgreeOnTheCheckpoint(t *testing.T) {
	r := fakeRun(t, &fakeStepper{}, 1)
	r.joined = &behind{}
	weights := func() (uint32, error) { return 1, nil }
	if err := r.agree(weights); err != nil {
		t.Fatal(err)
	}
	r.position.Step++
	if err := r.agree(weights); err == nil || err.Error() != "process 1 and process 0 have different checkpoints" {
		t.Errorf("got %v", err)
	}
}
