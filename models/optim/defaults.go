package optim

import (
	"fmt"
	"math"
)

// Task holds what the defaults of a run depend on.
type Task struct {
	Small           bool // images of up to 64 pixels, which get the first layer for CIFAR
	Width, Expander int  // channels of the first stage, widest layer of the expander
	Batch           int  // images per step
	PerEpoch        int  // steps per epoch
	Epochs          int
	Tuned           bool // the initial weights are pretrained and to be fine-tuned
}

// manySteps is the length from which a run resembles the published ones (195,000 steps on CIFAR,
// 500,000 on ImageNet), which use LARS. LARS moves biases and BatchNorm gains by the bare
// gradient, at a rate some hundred times Adam's: in a run of a hundred steps it ruins them before
// the weights have learnt anything.
const manySteps = 10_000

// Optimizer returns the optimiser to use if the user names none, and the reason in words.
func (t Task) Optimizer() (name, why string) {
	switch {
	case t.Tuned:
		return "adamw", "for pretrained weights"
	case t.steps() < manySteps:
		return "adamw", fmt.Sprintf("for fewer than %d steps", manySteps)
	}
	return "lars", fmt.Sprintf("for %d steps or more", manySteps)
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

// Constants is Default, except that LARS on small images uses the constants of solo-learn's
// VICReg on CIFAR.
func (t Task) Constants(name string) (Config, error) {
	c, err := Default(name)
	if t.Small && name == "lars" {
		c.Trust, c.Clip, c.WeightDecay = 0.02, true, 1e-4
	}
	return c, err
}

// leastWarmup is the minimum warm-up in steps, unless that is more than half of the run.
const leastWarmup = 200

// Warmup returns the number of warm-up steps: the smaller of 10 epochs and a tenth of the run,
// but at least leastWarmup, and at most half of the run. Pretrained weights double the minimum,
// since an optimiser that has not seen a gradient yet must not destroy them.
func (t Task) Warmup() int {
	least := leastWarmup
	if t.Tuned {
		least *= 2
	}
	return min(max(min(10*t.PerEpoch, t.steps()/10), least), t.steps()/2)
}

func (t Task) steps() int { return t.PerEpoch * t.Epochs }

// tunedShare is the ratio of the peak rate for pretrained weights to that for random ones.
const tunedShare = 0.2

// Rate returns the peak learning rate to use if the user gives none, and the reason in words.
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
		peak, why = peak*tunedShare, why+", a fifth of it for pretrained weights"
	}
	return peak, why
}

func perBatch(base float64, batch int) float64 { return base * float64(batch) / 256 }

// adamRate is 0.001 for a first stage of 64 channels and an expander of 2048, the highest rate at
// which training is stable there, and falls with the square root of either: Adam moves every
// weight by the same amount, so a sum of more weights moves further. Measured at widths 8, 16 and
// 64: BENCHMARKS.md, learn and gpu.
func (t Task) adamRate() (peak float64, why string) {
	const most = 0.004
	peak = min(most, 0.001*math.Sqrt(64/float64(t.Width)*2048/float64(t.Expander)))
	return peak, fmt.Sprintf("for width %d and an expander of %d", t.Width, t.Expander)
}

// larsRate is LARS's rate per 256 images: solo-learn's on CIFAR; on ImageNet the paper's by batch
// size for 100 epochs, except at 512, where the paper has 0.4 and this is the rate of the command
// that the authors released.
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
