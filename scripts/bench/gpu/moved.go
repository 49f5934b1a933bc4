package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"vicreg/models/ort"
	"vicreg/models/tensor"
	"vicreg/scripts/bench/steps"
)

// moved counts the bytes that a step copies between host and device, and checks where the nodes of
// its graph run, for each precision: a node on the CPU costs a copy of its inputs and outputs.
func moved(_ context.Context, b *bench) error {
	s := steps.R18
	s.Batch = 64
	precisions := []string{"fp16", "bf16", "fp32", "tf32"}
	if b.quick {
		s = s.Small()
	}
	if b.onHost() {
		precisions = []string{"fp32"}
	}
	var errs []error
	for _, precision := range precisions {
		if err := b.movedBy(s.On(b.device, precision, b.threads)); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", precision, err))
		}
	}
	return errors.Join(errs...)
}

func (b *bench) movedBy(s steps.Setup) error {
	r, err := steps.Open(s)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := b.placed(r, s.Precision); err != nil {
		return err
	}
	batch, err := r.Noise()
	if err != nil {
		return err
	}
	before := r.Traffic()
	const count = 5
	r.Set(batch, 0.01)
	for i := range count {
		next := batch // copied while a step runs, as in vicreg train
		if i == count-1 {
			next = nil
		}
		if _, err := r.StepAhead(batch, next); err != nil {
			return err
		}
		r.Accept()
	}
	after := r.Traffic()
	in, out := (after.ToDevice-before.ToDevice)/count, (after.FromDevice-before.FromDevice)/count
	views, state := int64(2*3*s.Batch*s.Size*s.Size), int64(0)
	for _, v := range r.Artifact.State {
		state += 4 * int64(tensor.Elements(v.Shape))
	}
	say("%s: a step moves %d bytes in, %d of them the views, and %d out; the state has %d", s.Precision, in, views, out, state)
	b.figures.Add(s.Precision+"_in", float64(in))
	b.figures.Add(s.Precision+"_out", float64(out))
	if !b.onHost() {
		b.verdict(in >= views && in < views+1024 && out < 1024, "%s: a step moves its views in, and some scalars besides", s.Precision)
	}
	return b.copies(s)
}

// placed checks that a step is captured, and that all its nodes run on the device.
func (b *bench) placed(r *steps.Run, precision string) error {
	if b.onHost() {
		return nil
	}
	b.verdict(r.Problem == "", "%s: the launches of a step are captured %s", precision, r.Problem)
	placed, err := r.Session.Placement()
	if err != nil {
		return err
	}
	strangers := ort.Strangers(placed, b.device)
	b.verdict(len(placed) > 0 && len(strangers) == 0, "%s: all of its nodes run on %v%s", precision, b.device, list(strangers))
	return nil
}

func list(strangers []ort.Placed) string {
	var all []string
	for _, p := range strangers {
		all = append(all, fmt.Sprintf("%d %s on %s", p.Nodes, p.Operator, p.Provider))
	}
	if all == nil {
		return ""
	}
	return ", but: " + strings.Join(all, ", ")
}

// copies checks the profile of a step for nodes that copy or run on the CPU.
func (b *bench) copies(s steps.Setup) error {
	t, err := b.profileStep(s, 1, 1)
	if err != nil {
		return err
	}
	var wrong trace
	wrong.runs = t.runs
	bytes := 0.0
	for _, n := range t.nodes {
		copied := strings.HasPrefix(n.Op, "Memcpy")
		if copied {
			bytes += n.Written
		}
		if copied || n.Provider != "CUDA" && !b.onHost() {
			wrong.nodes = append(wrong.nodes, n)
		}
	}
	say("%s: the profile has %d nodes, %d of which copy between host and device or run on the CPU; they copy %.0f bytes", s.Precision, len(t.nodes), len(wrong.nodes), bytes)
	if len(wrong.nodes) > 0 {
		printRows(wrong.rows(byShape), wrong.total(), 20)
	}
	b.figures.Add(s.Precision+"_copies", float64(len(wrong.nodes)))
	if !b.onHost() {
		b.verdict(len(t.nodes) > 0 && len(wrong.nodes) == 0, "%s: the profile of a step has no copy and no node on the CPU", s.Precision)
	}
	return nil
}
