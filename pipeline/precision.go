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
// on: fp16 has no fast kernels on a CPU, and what was begun on a GPU must go on without.
type precision string

const (
	fp32 precision = "fp32"
	tf32 precision = "tf32" // products of float32 whose operands are rounded to 10 bits
	fp16 precision = "fp16" // activations and their gradients in float16, with a loss scale
	// There is no bf16: the runtime's CUDA provider lacks bfloat16 in the sums, the
	// comparisons and the transposed convolutions that a step is made of.
)

// validate reports what is no precision, or none for the device; "" stands for a
// default.
func (p precision) validate(d ort.Device) error {
	switch p {
	case "", fp32:
		return nil
	case tf32, fp16:
		if !p.runsOn(d) {
			return usage.Errorf("--precision %s needs --device cuda: the CPU trains in fp32", p)
		}
		return nil
	}
	return usage.Errorf("--precision %s: want fp32, tf32 or fp16", p)
}

// runsOn tells whether the device has it.
func (p precision) runsOn(d ort.Device) bool {
	return p == fp32 || d.Kind == tensor.CUDA && (p == tf32 || p == fp16)
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
// on in: what is asked for, or the same if the device has it. why says what changes,
// "" for nothing.
func goOn(before, asked precision, d ort.Device) (now precision, why string) {
	before = cmp.Or(before, fp32)
	switch {
	case asked != "":
		now = asked
	case before.runsOn(d):
		now = before
	default:
		now = usual(d)
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
	if p == fp16 {
		return tensor.Float16
	}
	return 0
}

// scaled tells whether small gradients would be lost without a loss scale.
func (p precision) scaled() bool { return p == fp16 }
