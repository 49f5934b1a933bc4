package pipeline

import (
	"cmp"
	"fmt"

	"vicreg/models/ort"
	"vicreg/models/tensor"
	"vicreg/pipeline/usage"
)

// precision is the arithmetic of a training step. Parameters, running statistics, optimiser state
// and the loss are always float32, as is everything a run saves, so a run can resume in another
// precision.
//
// It is stored with the run but, unlike its other settings, may change on resuming: CPUs have no
// fast 16-bit kernels, and a run begun on a GPU must be able to continue without one.
type precision string

const (
	fp32 precision = "fp32"
	tf32 precision = "tf32" // float32 products with operands rounded to 10 mantissa bits
	fp16 precision = "fp16" // activations and their gradients in float16, with a loss scale
	bf16 precision = "bf16" // the same in bfloat16, whose range is float32's, by vicreg's own kernels
)

// validate reports an invalid precision, or one the machine does not support; "" is the default.
func (p precision) validate(m *machine) error {
	switch p {
	case "", fp32:
		return nil
	case tf32, fp16, bf16:
		if m.OnHost() {
			return usage.Errorf("--precision %s needs --device cuda: the CPU trains in fp32", p)
		}
		if !p.runsOn(m) {
			return usage.Errorf("--precision %s needs vicreg's own kernels: --kernels %s lacks bfloat16", p, m.kernels)
		}
		return nil
	}
	return usage.Errorf("--precision %s: want fp32, tf32, fp16 or bf16", p)
}

// runsOn reports whether the machine supports the precision.
func (p precision) runsOn(m *machine) bool {
	switch p {
	case fp32:
		return true
	case tf32, fp16:
		return !m.OnHost()
	}
	return p == bf16 && !m.OnHost() && m.customOps()
}

// suits reports a device too old for the precision. The runtime must be open.
func (p precision) suits(d ort.Device) error {
	const least = 8
	if p != bf16 {
		return nil
	}
	major, minor, err := d.Capability()
	if err == nil && major < least {
		err = usage.Errorf("--precision %s needs a GPU of compute capability %d.0 or higher, but %v has %d.%d: use another --precision", p, least, d, major, minor)
	}
	return err
}

// usual is the default precision of a device: on CUDA, TF32, which PyTorch also uses for the
// convolutions of float32 models. Anything below that is for the user to choose.
func usual(d ort.Device) precision {
	if d.Kind == tensor.CUDA {
		return tf32
	}
	return fp32
}

// goOn chooses the precision in which a run resumes: the one asked for, else the one before ("" in
// old checkpoints) if the machine supports it, else the default. why describes a change, "" for
// none.
func goOn(before, asked precision, m *machine) (now precision, why string) {
	before = cmp.Or(before, fp32)
	switch {
	case asked != "":
		now = asked
	case before.runsOn(m):
		now = before
	default:
		now = usual(m.Device)
	}
	if now == before {
		return now, ""
	}
	return now, fmt.Sprintf("the run used %s and continues in %s", before, now)
}

// describe formats the precision, with the loss scale if there is one.
func (p precision) describe(lossScale float64) string {
	if p.scaled() {
		return fmt.Sprintf("%s with a loss scale of %g", p, lossScale)
	}
	return string(p)
}

// compute is the type of the activations; 0 for float32.
func (p precision) compute() tensor.DType {
	switch p {
	case fp16:
		return tensor.Float16
	case bf16:
		return tensor.BFloat16
	}
	return 0
}

// scaled reports whether small gradients would underflow without a loss scale.
func (p precision) scaled() bool { return p == fp16 }
