package pipeline

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"vicreg/models"
	"vicreg/models/ort"
	"vicreg/models/tensor"
)

// begin sets the state. On a device it then takes a step and drops it, after announcing that this
// takes a while: the first step searches for the fastest convolutions, captures the CUDA graph and
// allocates the memory, and any failure of that happens before anything is written. If vicreg's own
// operators do not run and --kernels is auto, the run falls back to the portable kernels, except in
// bf16, which those lack.
func (r *run) begin(state map[string]*tensor.Tensor, stderr io.Writer) error {
	if !r.machine.OnHost() && r.leads() {
		fmt.Fprintf(stderr, "vicreg train: selecting kernels on %v, which takes some seconds\n", r.machine.Device)
	}
	ort.ConvSearches() // discards those of other runs
	err := r.first(state)
	if r.chosen = ort.ConvSearches().Sentence(); err == nil || r.machine.OnHost() || r.machine.kernels != "auto" || isFull(err) {
		return err
	}
	if r.group().Size() > 1 { // the others go on with the step and cannot repeat it
		return fmt.Errorf("vicreg's own kernels do not run here; use --kernels portable in all processes: %w", err)
	}
	if r.Precision == bf16 {
		return fmt.Errorf("--precision bf16 needs vicreg's own kernels, which do not run here; use another precision: %w", err)
	}
	r.machine.kernels, r.chosen = "portable", ""
	if err := r.closeStep(); err != nil {
		return err
	}
	artifact, wrong := models.Step(r.stepConfig())
	if wrong != nil {
		return errors.Join(err, wrong)
	}
	r.artifact, r.slow = artifact, ""
	if wrong := r.openStep(); wrong != nil {
		return errors.Join(err, wrong)
	}
	if wrong := r.first(state); wrong != nil {
		return errors.Join(err, wrong)
	}
	r.slow = join(fmt.Sprintf("vicreg's own operators do not run here; using the portable kernels: %v", err), r.slow)
	return nil
}

// first sets the state and, on a device, takes the first step; if that fails with capture, once
// more without.
func (r *run) first(state map[string]*tensor.Tensor) error {
	if err := r.state.Restore(state); err != nil || r.machine.OnHost() {
		return err
	}
	err := r.dropped()
	if err == nil || !r.capturing || isFull(err) {
		return r.explained(err)
	}
	if err := r.uncaptured(err); err != nil {
		return err
	}
	if err := r.state.Restore(state); err != nil {
		return err
	}
	return r.explained(r.dropped())
}

// dropped takes a step on black images and rejects it.
func (r *run) dropped() error {
	batch, err := r.state.NewBatch()
	if err != nil {
		return err
	}
	batch[models.LossScale].Float32()[0] = 1
	if _, err := r.state.StepAhead(batch, nil); err != nil {
		return err
	}
	r.state.Reject()
	return nil
}

// isFull reports whether a step failed for lack of device memory, by the messages of the runtime
// and of our operators.
func isFull(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "Failed to allocate memory") || strings.Contains(err.Error(), "no memory left"))
}

// explained adds advice to the error of a step that ran out of device memory.
func (r *run) explained(err error) error {
	if r.machine.OnHost() || !isFull(err) {
		return err
	}
	precision := ", or --precision fp16"
	if r.Precision.compute().Half() {
		precision = ""
	}
	return fmt.Errorf("the memory of %v is full: choose a smaller --batch, --image-size, --width or --expander%s: %w", r.machine.Device, precision, err)
}
