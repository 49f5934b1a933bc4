package optim

import (
	"math"
	"testing"
)

func TestScheduleWarmsUpAndCoolsDown(t *testing.T) {
	s := Schedule{Peak: 2, Warmup: 10, Total: 110}
	half := 2 * (0.5 + 0.5*0.001)
	for step, want := range map[int]float64{
		0: 0, 1: 0.2, 5: 1, 9: 1.8, // linear from 0
		10: 2, 60: half, 110: 0.002, 500: 0.002, // cosine to a thousandth, where it stays
		35: 2 * (q(0.25) + 0.001*(1-q(0.25))),
	} {
		if got := s.At(step); !(math.Abs(got-want) <= 1e-12) {
			t.Errorf("step %d: %v, want %v", step, got, want)
		}
	}
	for step := 11; step <= 110; step++ {
		if s.At(step) >= s.At(step-1) {
			t.Errorf("the rate does not fall at step %d", step)
		}
	}
}

// q is the cosine from 1 to 0.
func q(progress float64) float64 { return (1 + math.Cos(math.Pi*progress)) / 2 }

func TestScheduleWithoutWarmupOrEnd(t *testing.T) {
	if got := (Schedule{Peak: 3, Total: 4}).At(0); got != 3 {
		t.Errorf("without warm-up the first rate is %v", got)
	}
	for _, step := range []int{5, 6, 100} {
		if got := (Schedule{Peak: 3, Warmup: 5, Total: 5}).At(step); got != 3 {
			t.Errorf("a run that is all warm-up has rate %v at step %d", got, step)
		}
	}
}
