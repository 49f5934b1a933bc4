package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"time"

	"vicreg/models"
	"vicreg/models/onnx"
	"vicreg/models/optim"
	"vicreg/models/tensor"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
	"vicreg/pipeline/whole"
	"vicreg/scripts/bench/steps"
)

// accuracyOfTwin has PyTorch repeat a finished run, and evaluates the result.
func (c *course) accuracyOfTwin(ctx context.Context, run string) (float64, error) {
	lines, err := metricsOf(run)
	if err != nil {
		return 0, err
	}
	config, err := c.graphs()
	if err != nil {
		return 0, err
	}
	a, err := models.Step(config)
	if err != nil {
		return 0, err
	}
	first, trained := c.path("first.safetensors"), c.path("twin.safetensors")
	if err := writeWeights(first, a); err != nil {
		return 0, err
	}
	if err := c.trainTwin(ctx, lines, first, trained); err != nil {
		return 0, err
	}
	model := c.path("twin.onnx")
	if err := exportWeights(trained, config, model); err != nil {
		return 0, err
	}
	return c.accuracy(ctx, "twin", model)
}

// graphs returns the configuration of the run's network.
func (c *course) graphs() (models.Config, error) {
	r, err := steps.Describe(c.setup)
	if err == nil {
		r.Optimizer, err = optim.Default("adamw")
	}
	return r, err
}

// writeWeights writes the initial weights of a run with the seed.
func writeWeights(path string, a *models.Artifact) error {
	weights := map[string]*tensor.Tensor{}
	for _, p := range a.Params {
		weights[p.Name] = p.InitialValue(steps.Seed)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(tensor.WriteSafetensors(f, weights, nil), f.Close())
}

// exportWeights exports a file of weights as a model.
func exportWeights(path string, c models.Config, to string) error {
	values, _, err := tensor.ReadSafetensorsFile(path)
	if err != nil {
		return err
	}
	g, err := models.Export(c, values)
	if err != nil {
		return err
	}
	model, err := g.Model()
	if err != nil {
		return err
	}
	m := encoder.Metadata{Preprocess: imaging.Preprocess{Crop: c.Size, Interpolation: "bicubic"},
		Normalization: encoder.Normalization{Mean: c.Mean, Std: c.Std}, Dim: c.Backbone.Dim(), Center: make([]float32, c.Backbone.Dim())}
	if err := m.Attach(model); err != nil {
		return err
	}
	file, err := onnx.Marshal(model)
	if err != nil {
		return err
	}
	return whole.WriteFile(to, file)
}

// trainTwin feeds the twin the views of our run, continuing where it is, until all steps are done
// or most of the remaining time is spent.
func (c *course) trainTwin(ctx context.Context, lines []metric, first, trained string) error {
	s := c.setup
	cmd := c.script(ctx, "train_twin_torch.py", "--model", s.Model, "--stem", s.Stem, "--width", fmt.Sprint(s.Width), "--expander", s.Expander,
		"--batch", fmt.Sprint(s.Batch), "--image-size", fmt.Sprint(s.Size), "--threads", fmt.Sprint(s.Threads), "--device", s.Device,
		"--precision", s.Precision, "--weights", first, "--out", trained, "--state", trained+".state", "--every", fmt.Sprint(c.perEpoch(lines)))
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	at, err := c.follow(ctx, cmd, in, bufio.NewScanner(out), lines)
	if err != nil {
		return err
	}
	if at < len(lines) {
		say("twin: %d of %d steps", at, len(lines))
		return errUnfinished
	}
	return nil
}

func (c *course) perEpoch(lines []metric) int { return max(len(lines)/c.epochs, 1) }

// follow feeds the twin steps and prints its progress; it returns the total number of steps done.
func (c *course) follow(ctx context.Context, cmd *exec.Cmd, in io.WriteCloser, out *bufio.Scanner, lines []metric) (at int, err error) {
	var told struct {
		Step  int
		Loss  float64
		Taken bool
	}
	if !out.Scan() {
		return 0, errors.Join(errors.New("the twin ended before it was ready"), cmd.Wait())
	}
	if err := json.Unmarshal(out.Bytes(), &told); err != nil {
		return 0, err
	}
	begin, from := time.Now(), told.Step
	fed := make(chan error, 1)
	go func() {
		err := c.feed(ctx, in, lines, from, time.Now().Add(c.left()*75/100))
		fed <- errors.Join(err, in.Close())
	}()
	for out.Scan() {
		if err := json.Unmarshal(out.Bytes(), &told); err != nil {
			return 0, err
		}
		say("twin: step %d, loss %.4f (ours %.4f)", told.Step, told.Loss, lines[told.Step-1].Loss)
	}
	// The twin has ended, so a feeder that is still running fails at its next step.
	if err := errors.Join(cmd.Wait(), <-fed); err != nil {
		return 0, err
	}
	say("twin: %d steps in %.1f s of this time", told.Step-from, time.Since(begin).Seconds())
	return told.Step, nil
}

// feed writes the rates and views of the steps from the given one until end.
func (c *course) feed(ctx context.Context, in io.Writer, lines []metric, from int, end time.Time) error {
	if from >= len(lines) {
		return nil
	}
	n := c.perEpoch(lines)
	l, err := c.loader(ctx, c.train, dataset.LoaderConfig{Batch: c.setup.Batch, Size: c.setup.Size, Seed: steps.Seed,
		Epoch: from / n, Start: from % n, Epochs: c.epochs})
	if err != nil {
		return err
	}
	defer l.Close()
	if l.BatchesPerEpoch() != n {
		return fmt.Errorf("%d steps an epoch, the run had %d", l.BatchesPerEpoch(), n)
	}
	for _, line := range lines[from:] {
		if time.Now().After(end) {
			return nil
		}
		b, err := l.Next()
		if err != nil {
			return err
		}
		_, err = in.Write(binary.NativeEndian.AppendUint32(nil, math.Float32bits(float32(line.Lr))))
		for _, view := range []string{models.View1, models.View2} {
			if err == nil {
				_, err = in.Write(b.Tensors[view].Data.([]uint8))
			}
		}
		if err != nil {
			return err
		}
		l.Release(b)
	}
	return nil
}
