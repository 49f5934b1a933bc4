package optim

import (
	"math"
	"testing"
)

func TestWarmup(t *testing.T) {
	for _, c := range []struct {
		perEpoch, epochs int
		tuned            bool
		want             int
	}{
		{195, 1000, false, 1950}, {5004, 100, false, 50040}, // ten epochs; a tenth of the run
		{100, 50, false, 500}, {78, 10, false, 200}, // a tenth; the minimum of 200
		{14, 8, false, 56}, {2, 1, false, 1}, {1, 1, false, 0}, // half of the run
		{10, 1000, false, 200}, // ten epochs would be 100
		{100, 50, true, 500}, {78, 20, true, 400}, {78, 10, true, 390}, {14, 8, true, 56},
	} {
		task := Task{PerEpoch: c.perEpoch, Epochs: c.epochs, Tuned: c.tuned}
		if got := task.Warmup(); got != c.want {
			t.Errorf("%d epochs of %d steps (tuned: %v) warm up for %d, want %d", c.epochs, c.perEpoch, c.tuned, got, c.want)
		}
	}
}

// Short runs, and those from pretrained weights, use AdamW; those as long as the published ones
// use LARS.
func TestTheOptimizerOfARun(t *testing.T) {
	for _, c := range []struct {
		task      Task
		name, why string
	}{
		{Task{PerEpoch: 14, Epochs: 8}, "adamw", "for fewer than 10000 steps"},
		{Task{PerEpoch: 99, Epochs: 101}, "adamw", "for fewer than 10000 steps"},
		{Task{PerEpoch: 100, Epochs: 100}, "lars", "for 10000 steps or more"},
		{Task{PerEpoch: 5004, Epochs: 100}, "lars", "for 10000 steps or more"},
		{Task{PerEpoch: 5004, Epochs: 100, Tuned: true}, "adamw", "for pretrained weights"},
	} {
		if name, why := c.task.Optimizer(); name != c.name || why != c.why {
			t.Errorf("%+v: %s (%s), want %s (%s)", c.task, name, why, c.name, c.why)
		}
	}
}

func TestRates(t *testing.T) {
	of := func(batch, epochs int) Task {
		return Task{Width: 64, Expander: 8192, Batch: batch, PerEpoch: 1000, Epochs: epochs}
	}
	small := Task{Small: true, Width: 16, Expander: 2048, Batch: 512, PerEpoch: 100, Epochs: 1000}
	tuned := of(256, 100)
	tuned.Tuned = true
	tiny := Task{Small: true, Width: 4, Expander: 32, Batch: 8}
	for _, c := range []struct {
		task      Task
		optimizer string
		want      float64
		why       string
	}{
		{of(16, 100), "lars", 0.05, "0.8 per 256 images"}, {of(128, 100), "lars", 0.4, "0.8 per 256 images"},
		{of(256, 100), "lars", 0.5, "0.5 per 256 images"}, {of(256, 1000), "lars", 0.5, "0.5 per 256 images"},
		{of(512, 100), "lars", 0.6, "0.3 per 256 images"}, {of(1024, 100), "lars", 1.2, "0.3 per 256 images"},
		{of(2048, 100), "lars", 2.4, "0.3 per 256 images"}, {of(2048, 1000), "lars", 1.6, "0.2 per 256 images"},
		{small, "lars", 0.6, "0.3 per 256 images"},
		{of(256, 100), "sgd", 0.05, "0.05 per 256 images"},
		{of(256, 100), "adamw", 0.0005, "for width 64 and an expander of 8192"},
		{of(16, 1000), "adamw", 0.0005, "for width 64 and an expander of 8192"},
		{small, "adamw", 0.002, "for width 16 and an expander of 2048"},
		{tiny, "adamw", 0.004, "for width 4 and an expander of 32"},
		{tuned, "adamw", 0.0001, "for width 64 and an expander of 8192, a fifth of it for pretrained weights"},
		{tuned, "lars", 0.1, "0.5 per 256 images, a fifth of it for pretrained weights"},
	} {
		if got, why := c.task.Rate(c.optimizer); !(math.Abs(got-c.want) < 1e-12) || why != c.why {
			t.Errorf("%s, %+v: %v (%s), want %v (%s)", c.optimizer, c.task, got, why, c.want, c.why)
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
		if got, err := (Task{}).Constants(name); err != nil || got != want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if got, err := (Task{Small: true}).Constants(name); err != nil || got != want && name != "lars" {
			t.Errorf("%s on small images: %+v, %v", name, got, err)
		}
	}
	want := Config{Name: "lars", Momentum: 0.9, WeightDecay: 1e-4, Trust: 0.02, Clip: true}
	if got, err := (Task{Small: true}).Constants("lars"); err != nil || got != want {
		t.Errorf("lars on small images: %+v, %v", got, err)
	}
	if _, err := Default("adam"); err == nil || err.Error() != `unknown optimizer "adam": want lars, sgd or adamw` {
		t.Errorf("got %v", err)
	}
}

func TestConfigSaysAllItsConstants(t *testing.T) {
	clipped, _ := (Task{Small: true}).Constants("lars")
	lars, _ := Default("lars")
	adam, _ := Default("adamw")
	adam.ClipNorm = 5
	sgd, _ := Default("sgd")
	for want, c := range map[string]Config{
		"lars, momentum 0.9, trust 0.02 clipped at lr, weight decay 0.0001":                          clipped,
		"lars, momentum 0.9, trust 0.001, weight decay 1e-06":                                        lars,
		"adamw, betas 0.9 and 0.999, eps 1e-08, weight decay 0.01, gradients clipped to a norm of 5": adam,
		"sgd, momentum 0.9, weight decay 0.0001":                                                     sgd,
	} {
		if got := c.String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
