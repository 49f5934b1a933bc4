package pipeline

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"

	"vicreg/models/tensor"
	"vicreg/pipeline/checkpoint"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/usage"
)

// reload reads configuration, position and state from the newest checkpoint.
func (t *trainFlags) reload(fs *flag.FlagSet, stderr io.Writer) (checkpoint.Position, map[string]*tensor.Tensor, error) {
	var none checkpoint.Position
	fixed := &settings{}
	names := flag.NewFlagSet("", flag.ContinueOnError)
	fixed.register(names)
	var given error
	names.VisitAll(func(f *flag.Flag) {
		if given == nil && f.Name != "data" && f.Name != "epochs" && usage.Given(fs, f.Name) {
			given = usage.Errorf("--%s is a setting of the run and cannot change with --resume", f.Name)
		}
	})
	if given != nil {
		return none, nil, given
	}
	if err := t.claim(); err != nil {
		return none, nil, err
	}
	c, warnings, err := checkpoint.Latest(t.out)
	for _, w := range warnings {
		fmt.Fprintln(stderr, "vicreg train:", w)
	}
	if errors.Is(err, checkpoint.ErrNone) {
		return none, nil, noCheckpoint(t.out, len(warnings), "--resume goes on with the run in --out")
	}
	if err != nil {
		return none, nil, err
	}
	data, epochs := t.Data, t.Epochs
	if err := json.Unmarshal(c.Config, &t.Config); err != nil {
		return none, nil, fmt.Errorf("read the settings of %s: %w", t.out, err)
	}
	if t.moved = data != ""; t.moved {
		t.Data = data
	}
	before, why := t.Precision, ""
	if t.Precision, why = goOn(before, t.machine.precision, &t.machine); why != "" {
		fmt.Fprintln(stderr, "vicreg train:", why)
	}
	beginScale(&c.Position, before, t.Precision)
	if usage.Given(fs, "epochs") && epochs != t.Epochs {
		t.replanned = true
		said, err := t.lengthen(epochs, c.Position)
		if err != nil {
			return none, nil, err
		}
		fmt.Fprintln(stderr, "vicreg train:", said)
	}
	return c.Position, c.Tensors, t.Validate()
}

// lengthen changes a run's number of epochs, usually to more, and describes the effect. The
// learning rate continues on the cosine that ends with the new number; warm-up and peak stay. The
// rate a finished run ended with is next to zero and would teach it nothing more.
func (c *Config) lengthen(epochs int, p checkpoint.Position) (said string, err error) {
	if epochs <= p.Epoch {
		return "", usage.Errorf("--epochs %d: the run has already done %s; give a larger number", epochs, usage.Count(p.Epoch, "epoch"))
	}
	perEpoch := max(1, c.Schedule.Total/c.Epochs)
	if perEpoch*epochs <= c.Schedule.Warmup {
		return "", usage.Errorf("--epochs %d: the run would end in its warm-up of %d steps, %d an epoch, with the learning rate at its highest: give at least %d",
			epochs, c.Schedule.Warmup, perEpoch, c.Schedule.Warmup/perEpoch+1)
	}
	at := p.Epoch*perEpoch + p.Batch
	before, rate := c.Epochs, c.Schedule.At(at)
	c.Epochs, c.Schedule.Total = epochs, perEpoch*epochs
	said = fmt.Sprintf("the run has %d epochs now in the place of %d; it goes on at epoch %d ", epochs, before, p.Epoch+1)
	if at <= c.Schedule.Warmup { // the rate of this step is the same
		return said + "along the cosine that ends with them, after the same warm-up", nil
	}
	return said + fmt.Sprintf("along the cosine that ends with them, with the learning rate %.3g in the place of %.3g", c.Schedule.At(at), rate), nil
}

// finished reports that a run has nothing left to do, "" if it has.
func (t *trainFlags) finished(p checkpoint.Position) string {
	if !t.resume || p.Epoch < t.Epochs {
		return ""
	}
	return fmt.Sprintf("done       this run has finished: %s, %s; extend it with --resume --epochs N; next: vicreg export %s", usage.Count(t.Epochs, "epoch"), usage.Count(p.Step, "step"), t.out)
}

// follow adapts a resumed run to images that differ from those it had, and says so.
func (t *trainFlags) follow(train *dataset.Set, p *checkpoint.Position) string {
	said := fmt.Sprintf("the data has changed: %s before, %d now in %s; continuing with these", usage.Count(t.Images, "image"), train.Len(), t.Data)
	before, now := t.Schedule.Total/t.Epochs, train.Len()/t.Batch
	if before != now {
		said += fmt.Sprintf(", %s per epoch instead of %d, from the same epoch and learning rate", usage.Count(now, "step"), before)
		t.replan(now, p)
	}
	t.Images, t.DataSet, t.replanned = train.Len(), train.Fingerprint(), true
	return said
}

// replan changes the number of steps per epoch. Measured in epochs, warm-up and position stay the
// same.
func (c *Config) replan(perEpoch int, p *checkpoint.Position) {
	before := max(1, c.Schedule.Total/c.Epochs)
	c.Schedule.Total = perEpoch * c.Epochs
	c.Schedule.Warmup = int(math.Round(float64(c.Schedule.Warmup) * float64(perEpoch) / float64(before)))
	p.Batch = min(p.Batch*perEpoch/before, perEpoch-1)
}
