package optim

import (
	"fmt"
	"math"
)

// Task is what the defaults of a run depend on.
type Task struct {
	Small           bool // images up to 64 pixels, for which the first layer is that for CIFAR
	Width, Expander int  // channels of the first stage, widest layer of the expander
	Batch           int  // images a step
	PerEpoch        int  // steps
	Epochs          int
	Tuned           bool // the first weights were learnt elsewhere and are to be adapted
}

// manySteps is from where on a run is as the published ones, of 195,000 steps on CIFAR
// and 500,000 on ImageNet. LARS is their optimiser. It moves biases and gains of
// BatchNorm by the bare gradient, at a rate some hundred times that of Adam: in a run
// of a hundred steps it loses them before the weights have learnt anything.
const manySteps = 10_000

// Optimizer is the one to take where the user names none, and the reason in words.
func (t Task) Optimizer() (name, why string) {
	switch {
	case t.Tuned:
		return "adamw", "for weights that have learnt"
	case t.steps() < manySteps:
		return "adamw", fmt.Sprintf("for less than %d steps", manySteps)
	}
	return "lars", fmt.Sprintf("for %d steps and more", manySteps)
}

// Default returns the usual constants of an optimiser: LARS as the authors of
// VICReg use it, SGD with momentum, AdamW as PyTorch ships it.
func Default(name string) (Config, error) {
	switch name {
	case "lars":
		return Config{Name: name, Momentum: 0.9, WeightDecay: 1e-6, Trust: 0.001}, nil
	case "sgd":
		return Config{Name: name, Momentum: 0.9, WeightDecay: 1e-4}, nil
	case "adamw":
		return Config{Name: name, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.01}, nil
	}
	return Config{}, fmt.Errorf("unknown optimizer %q: want lars, sgd or adamw", name)
}

// Constants is Default, but for LARS on small images, which takes those of solo-learn's
// VICReg on CIFAR.
func (t Task) Constants(name string) (Config, error) {
	c, err := Default(name)
	if t.Small && name == "lars" {
		c.Trust, c.Clip, c.WeightDecay = 0.02, true, 1e-4
	}
	return c, err
}

// leastWarmup is the warm-up of runs of which a tenth would be less, in steps, unless that
// were more than half of the run.
const leastWarmup = 200

// Warmup is the number of warm-up steps: the smaller of 10 epochs and a tenth of the
// steps, but leastWarmup at the least; twice that for weights that have learnt, which
// an optimiser that has not seen a gradient yet must not throw away.
func (t Task) Warmup() int {
	least := leastWarmup
	if t.Tuned {
		least *= 2
	}
	return min(max(min(10*t.PerEpoch, t.steps()/10), least), t.steps()/2)
}

func (t Task) steps() int { return t.PerEpoch * t.Epochs }

// tunedShare is the rate for weights that have learnt over that for random ones.
const tunedShare = 0.2

// Rate is the peak learning rate where the user gives none, and the reason in words.
func (t Task) Rate(optimizer string) (peak float64, why string) {
	switch optimizer {
	case "adamw":
		peak, why = t.adamRate()
	case "sgd":
		peak, why = perBatch(0.05, t.Batch), "0.05 per 256 images"
	default:
		base := t.larsRate()
		peak, why = perBatch(base, t.Batch), fmt.Sprintf("%g per 256 images", base)
	}
	if t.Tuned {
		peak, why = peak*tunedShare, why+", a fifth of it for weights that have learnt"
	}
	return peak, why
}

func perBatch(base float64, batch int) float64 { return base * float64(batch) / 256 }

// adamRate is 0.001 where the first stage has 64 channels and the expander 2048, which is as
// far as training stays calm there, and falls with the root of either: Adam moves each
// weight by as much, so that more of them together move what they add up to further.
// Measured at widths 8, 16 and 64: BENCHMARKS.md, learn and gpu.
func (t Task) adamRate() (peak float64, why string) {
	const most = 0.004
	peak = min(most, 0.001*math.Sqrt(64/float64(t.Width)*2048/float64(t.Expander)))
	return peak, fmt.Sprintf("for width %d and an expander of %d", t.Width, t.Expander)
}

// larsRate is LARS's rate per 256 images: solo-learn's on CIFAR, and on ImageNet the paper's by batch size
// for 100 epochs, but at 512, where it has 0.4, that of the command the authors released.
func (t Task) larsRate() float64 {
	switch {
	case t.Small:
		return 0.3
	case t.Batch >= 2048 && t.Epochs >= 1000:
		return 0.2
	case t.Batch >= 512:
		return 0.3
	case t.Batch >= 256:
		return 0.5
	}
	return 0.8
}
