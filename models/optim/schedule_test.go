package optim

import (
	"math"
	"strings"
	"testing"
)

func TestScheduleWarmsUpAndCoolsDown(t *testing.T) {
	s := Schedule{Peak: 2, Warmup: 10, Total: 110}
	half := 2 * (0.5 + 0.5*0.001)
	for step, want := range map[int]float64{
		0: 0, 1: 0.2, 5: 1, 9: 1.8, // linear from 0
		10: 2, 60: half, 110: 0.002, 500: 0.002, // cosine to a thousandth, which stays
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

func TestWarmupIsTheSmallerOfTenEpochsAndATenth(t *testing.T) {
	for _, c := range []struct{ perEpoch, epochs, want int }{
		{100, 1000, 1000}, {100, 100, 1000}, {100, 50, 500}, {39, 3, 11}, {2, 1, 0},
	} {
		if got := Warmup(c.perEpoch, c.perEpoch*c.epochs); got != c.want {
			t.Errorf("%d epochs of %d steps warm up for %d, want %d", c.epochs, c.perEpoch, got, c.want)
		}
	}
}

func TestBaseRates(t *testing.T) {
	if got, why := BaseRate("cifar", "lars", 512, 100); got != 0.3 || why != "lars on cifar: 0.3 per 256 images" {
		t.Errorf("cifar: %v (%s)", got, why)
	}
	for _, c := range []struct {
		optimizer     string
		batch, epochs int
		want          float64
	}{
		{"lars", 16, 100, 0.8}, {"lars", 128, 100, 0.8}, {"lars", 255, 100, 0.8}, {"lars", 256, 100, 0.5},
		{"lars", 512, 100, 0.4}, {"lars", 1024, 100, 0.3}, {"lars", 2048, 100, 0.3}, {"lars", 2048, 1000, 0.2},
		{"lars", 256, 1000, 0.5}, {"sgd", 256, 100, 0.05}, {"adamw", 256, 100, 5e-4},
	} {
		got, why := BaseRate("imagenet", c.optimizer, c.batch, c.epochs)
		if got != c.want || !strings.HasPrefix(why, c.optimizer+": ") {
			t.Errorf("%s at batch %d, %d epochs: %v (%s), want %v", c.optimizer, c.batch, c.epochs, got, why, c.want)
		}
	}
}

func TestDefaults(t *testing.T) {
	for name, want := range map[string]Config{
		"lars":  {Name: "lars", Momentum: 0.9, WeightDecay: 1e-6, Trust: 0.001},
		"sgd":   {Name: "sgd", Momentum: 0.9, WeightDecay: 1e-4},
		"adamw": {Name: "adamw", Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.01},
	} {
		if got, err := Default(name); err != nil || got != want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for recipe, want := range map[string]Config{
		"imagenet": {Name: "lars", Momentum: 0.9, WeightDecay: 1e-6, Trust: 0.001},
		"cifar":    {Name: "lars", Momentum: 0.9, WeightDecay: 1e-4, Trust: 0.02, Clip: true},
	} {
		if got, err := For(recipe, "lars"); err != nil || got != want {
			t.Errorf("%s: %+v, %v", recipe, got, err)
		}
	}
	if _, err := Default("adam"); err == nil || err.Error() != `unknown optimizer "adam": want lars, sgd or adamw` {
		t.Errorf("got %v", err)
	}
}
