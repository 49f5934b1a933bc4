package pipeline

import (
	"cmp"
	"fmt"

	"vicreg/models/ort"
	"vicreg/models/tensor"
	"vicreg/pipeline/usage"
)

// precision is the arithmetic of a training step. Whatever it is, parameters,
// statistics, the optimiser's tensors and the loss are float32, and so is all that
// a run leaves: a checkpoint of one precision can be gone on from in another.
//
// A run keeps it, but unlike its other settings it may be another when the run goes
// on: 16 bits have no fast kernels on a CPU, and what was begun on a GPU must go on without.
type precision string

const (
	fp32 precision = "fp32"
	tf32 precision = "tf32" // products of float32 whose operands are rounded to 10 bits
	fp16 precision = "fp16" // activations and their gradients in float16, with a loss scale
	bf16 precision = "bf16" // in bfloat16, whose range is float32's, by kernels of vicreg's own
)

// validate reports what is no precision, or none for the machine; "" stands for a
// default.
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

// runsOn tells whether the machine has it.
func (p precision) runsOn(m *machine) bool {
	switch p {
	case fp32:
		return true
	case tf32, fp16:
		return !m.OnHost()
	}
	return p == bf16 && !m.OnHost() && m.customOps()
}

// suits reports a device that is too old for the precision. The runtime is open.
func (p precision) suits(d ort.Device) error {
	const least = 8
	if p != bf16 {
		return nil
	}
	major, minor, err := d.Capability()
	if err == nil && major < least {
		err = usage.Errorf("--precision %s needs a GPU of compute capability %d.0 or higher, and that of %v is %d.%d: take another --precision", p, least, d, major, minor)
	}
	return err
}

// usual is what a device trains in when nobody says: on CUDA what PyTorch does with
// float32 models, whose convolutions are in TF32. To go below float32 is the user's
// to decide.
func usual(d ort.Device) precision {
	if d.Kind == tensor.CUDA {
		return tf32
	}
	return fp32
}

// goOn is what a run that was in the precision before, "" in old checkpoints, goes
// on in: what is asked for, or the same if the machine has it. why says what changes,
// "" for nothing.
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
	return now, fmt.Sprintf("the run was in %s and goes on in %s", before, now)
}

// describe is the precision in a line.
func (p precision) describe(lossScale float64) string {
	if p.scaled() {
		return fmt.Sprintf("%s with a loss scale of %g", p, lossScale)
	}
	return string(p)
}

// compute is the type of activations, 0 for float32.
func (p precision) compute() tensor.DType {
	switch p {
	case fp16:
		return tensor.Float16
	case bf16:
		return tensor.BFloat16
	}
	return 0
}

// scaled tells whether small gradients would be lost without a loss scale.
func (p precision) scaled() bool { return p == fp16 }
