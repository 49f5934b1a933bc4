package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"vicreg/models"
	"vicreg/pipeline/checkpoint"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/usage"
)

// maxRejected is how many consecutive steps may have a non-finite loss or gradient before the run
// gives up, unless the loss scale can still fall: by then the weights themselves are lost.
const maxRejected = 20

// loop trains until the epochs are done, the time limit is reached or ctx ends; in each case it
// finishes by writing a checkpoint.
func (r *run) loop(ctx context.Context, stdout, stderr io.Writer) (err error) {
	r.loader, err = dataset.NewLoader(context.WithoutCancel(ctx), r.reader, dataset.LoaderConfig{
		Recipe: r.Recipe, Batch: r.Batch, Rank: r.group().Rank(), Ranks: r.group().Size(), Size: r.Size, Seed: r.Seed,
		Epoch: r.position.Epoch, Start: r.position.Batch, Epochs: r.Epochs, Workers: r.workers,
		Alloc: r.state.NewBatch,
	})
	if err != nil {
		return err
	}
	p := newProgress(r.quiet(stderr), r) // the same in all processes, so only the first prints it
	if r.interrupted(ctx) {
		return r.end(ctx, interrupted, stdout)
	}
	if err := r.before(stdout); err != nil {
		return err
	}
	if r.interrupted(ctx) {
		return r.end(ctx, interrupted, stdout)
	}
	begin := time.Now()
	for {
		b, err := r.loader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errors.Join(err, r.listBad())
		}
		v, err := r.step(ctx, b, p, begin)
		r.loader.Release(b)
		if err != nil {
			return err
		}
		if err := r.between(stdout, p, v.save); err != nil {
			return err
		}
		if v.why != goesOn {
			p.Clear()
			return r.end(ctx, v.why, stdout)
		}
	}
	p.Clear()
	if said := unlearnt(r.initial, r.last); said != "" {
		fmt.Fprintln(p.out, "vicreg train:", said)
	}
	device, err := r.deviceMemory()
	bad := r.describeBad()
	if bad != "" {
		bad = "; " + bad
	}
	fmt.Fprintf(stdout, "done       %s; waited for data %.1f %% of the time%s%s; next: vicreg export %s\n",
		usage.Count(r.position.Step, "step"), 100*p.waitShare(), device, bad, r.out)
	return errors.Join(err, r.meet())
}

// interrupted reports whether a run is to end before its next step, which takes minutes on a small
// machine. Processes that train together decide that only by the vote after a step.
func (r *run) interrupted(ctx context.Context) bool {
	return ctx.Err() != nil && r.group().Size() == 1
}

// before measures the held-out images before a run's first step, as the baseline for later figures.
// A resumed run reads it from its metrics.
func (r *run) before(stdout io.Writer) error {
	r.initial = r.metrics.first
	if r.initial != nil || r.watch == nil || r.position.Step > 0 {
		return nil
	}
	state, err := r.state.Snapshot()
	if err != nil {
		return err
	}
	h, err := r.watch.measure(state)
	if err != nil {
		return err
	}
	r.initial = &h
	fmt.Fprintln(stdout, "epoch   0  before the first step"+h.String())
	return r.metrics.epoch(r.position, len(r.bad()), false, &h)
}

// end stops a run before its last epoch. It reports the interruption as its error only once the
// checkpoint is written.
func (r *run) end(ctx context.Context, why int, stdout io.Writer) error {
	said := "interrupted"
	if why == outOfTime {
		said = fmt.Sprintf("time limit of %v reached", r.timeLimit)
	}
	if err := r.stop(stdout, said); err != nil {
		return err
	}
	if err := r.meet(); err != nil || why == outOfTime {
		return err
	}
	if ctx.Err() == nil {
		return errOther
	}
	return ctx.Err()
}

// deviceMemory formats the device memory in use; "" on the host.
func (r *run) deviceMemory() (string, error) {
	bytes, err := r.state.DeviceMemory()
	if err != nil || bytes == 0 {
		return "", err
	}
	return fmt.Sprintf("; %.2f GiB of %v", float64(bytes)/(1<<30), r.machine.Device), nil
}

// step runs one step. A non-finite loss or gradient leaves the state unchanged, but the step still
// counts. The learning rate follows the position in epochs and batches of the present set of
// images, not the step count, which may include steps on an earlier set.
func (r *run) step(ctx context.Context, b *dataset.Batch, p *progress, begin time.Time) (v verdict, err error) {
	rate := r.Schedule.At(b.Epoch*r.loader.BatchesPerEpoch() + b.Index)
	b.Tensors[models.Rate].Float32()[0] = float32(rate)
	b.Tensors[models.LossScale].Float32()[0] = float32(r.position.LossScale)
	scalars, err := r.state.StepAhead(b.Tensors, r.loader.Peek())
	if err != nil {
		return v, fmt.Errorf("epoch %d, batch %d: %w", b.Epoch, b.Index, r.explained(err))
	}
	scalars["lr"], scalars["loss_scale"] = rate, r.position.LossScale
	loss := scalars["loss"] // may overflow even if the gradient does not
	next := r.after(b)
	v, err = r.vote(verdict{
		accepted: scalars["finite"] == 1 && !math.IsNaN(loss) && !math.IsInf(loss, 0),
		why:      r.ends(ctx, begin, next),
		save:     time.Since(r.saved) >= r.every,
	})
	if err != nil {
		return v, err
	}
	if v.accepted {
		r.state.Accept()
		p.rejected = 0
	} else {
		r.state.Reject()
		p.rejected++
	}
	if p.rejected >= maxRejected && !canFall(r.position) {
		return v, fmt.Errorf("epoch %d: loss or gradient have not been finite for %d steps; the last checkpoint is good: try again with a lower --lr", b.Epoch, p.rejected)
	}
	moveScale(&next, r.Precision, v.accepted)
	r.position = next
	p.step(scalars, v.accepted)
	return v, r.metrics.step(r.position, b.Epoch, scalars, v.accepted, p)
}

// after returns the position after a batch.
func (r *run) after(b *dataset.Batch) checkpoint.Position {
	next := r.position
	next.Step++
	next.Epoch, next.Batch = b.Epoch, b.Index+1
	if next.Batch == r.loader.BatchesPerEpoch() {
		next.Epoch, next.Batch = b.Epoch+1, 0
	}
	return next
}

// between does what is due after a step: at the end of an epoch it measures the held-out images and
// writes a checkpoint, otherwise a checkpoint if save is set.
func (r *run) between(stdout io.Writer, p *progress, save bool) error {
	if r.position.Batch != 0 {
		if !save {
			return nil
		}
		return r.save()
	}
	line := p.epoch(r.position.Epoch)
	state, err := r.snapshot()
	if err != nil {
		return err
	}
	var health *Health
	if r.watch != nil {
		h, err := r.watch.measure(state)
		if err != nil {
			return err
		}
		health, r.last = &h, &h
		line += h.String()
	}
	if bad := r.tellBad(p); bad != "" {
		line += "  | " + bad
	}
	found := r.looks(r.position.Epoch, r.loader.BatchesPerEpoch(), p.variance, health)
	if err := r.metrics.epoch(r.position, len(r.bad()), found != "", health); err != nil {
		return err
	}
	p.Clear()
	fmt.Fprintln(stdout, line)
	p.collapse.warn(p.out, r.position.Epoch, found, r.apart(p.loss, health))
	return r.saveState(state)
}

// stop writes the checkpoint of a run that ends early.
func (r *run) stop(stdout io.Writer, why string) error {
	if r.position.Batch != 0 { // at an epoch's end it is already written
		if err := r.save(); err != nil {
			return err
		}
	}
	fmt.Fprintf(stdout, "stopped    %s; saved at step %d; to continue: vicreg train --out %s --resume\n", why, r.position.Step, r.out)
	return nil
}
