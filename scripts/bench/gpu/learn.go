package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"vicreg/scripts/bench/steps"
)

// knnPoints is how far the accuracy may be below the twin's, in percentage points.
const knnPoints = 0.5

// errUnfinished marks a piece that continues where it left off when it is run again.
var errUnfinished = errors.New("UNFINISHED: run it again to go on")

// course is one of our training runs and its twin.
type course struct {
	*bench
	folder      string // for all of its files
	precision   string
	epochs      int
	train, test string // folders
	setup       steps.Setup
}

// learn trains on CIFAR-10 and has PyTorch train on the same views from the same weights; both are
// evaluated by vicreg eval.
func learn(ctx context.Context, b *bench) error {
	c := &course{bench: b, folder: filepath.Join(b.work, "learn-"+b.key), precision: b.precision("fp16"), epochs: b.epochs, setup: steps.R18}
	c.setup.Batch = 512
	err := os.MkdirAll(c.folder, 0o777)
	if err != nil {
		return err
	}
	if c.train, err = b.cifar("train"); err != nil {
		return err
	}
	if c.test, err = b.cifar("test"); err != nil {
		return err
	}
	if b.quick {
		c.epochs, c.setup.Width, c.setup.Batch, c.setup.Expander = 2, 8, 32, "64-64-64"
		if c.train, err = b.excerpt(c.train, 320); err != nil {
			return err
		}
		if c.test, err = b.excerpt(c.test, 100); err != nil {
			return err
		}
	}
	c.setup = c.setup.On(b.device, c.precision, b.threads)
	run := c.path("ours")
	if err := c.ours(ctx, run); err != nil {
		return err
	}
	own, err := c.accuracyOfRun(ctx, run)
	if err != nil {
		return err
	}
	if b.python == "" {
		say("SKIPPED: PyTorch's twin")
		return nil
	}
	twin, err := c.accuracyOfTwin(ctx, run)
	if err != nil {
		return err
	}
	b.figures.Add("knn", own)
	b.figures.Add("knn_twin", twin)
	text := fmt.Sprintf("kNN accuracy after %d epochs %.2f %%, PyTorch's twin's %.2f %% (at most %.1f points less)", c.epochs, 100*own, 100*twin, knnPoints)
	if b.quick {
		say("no verdict: %s", text)
		return nil
	}
	b.verdict(100*own >= 100*twin-knnPoints, "%s", text)
	return nil
}

// path returns the path of a file or folder of this course.
func (c *course) path(name string) string { return filepath.Join(c.folder, name) }

// ours trains until the run is done or nearly half of the remaining time is spent.
func (c *course) ours(ctx context.Context, run string) error {
	done := run + ".done"
	if _, err := os.Stat(done); err == nil {
		return nil
	}
	args := append(c.training(c.train, c.epochs, c.setup.Batch), "--out", run, "--force")
	if saved, _ := filepath.Glob(filepath.Join(run, "checkpoint*")); len(saved) > 0 {
		args = []string{"train", "--out", run, "--resume", "--threads", fmt.Sprint(c.threads)}
	}
	flags, err := c.in(c.precision)
	if err != nil {
		return err
	}
	args = append(append(args, flags...), "--time-limit", (c.left() * 45 / 100).Round(time.Millisecond).String())
	begin := time.Now()
	out, err := c.program(ctx, "learn-ours", c.device, args...)
	if err != nil {
		return err
	}
	lines, err := metricsOf(run)
	if err != nil {
		return err
	}
	say("ours: %d steps in all after %.1f s of this time; %s", len(lines), time.Since(begin).Seconds(), lastLine(out))
	if !strings.Contains("\n"+out, "\ndone ") { // the only line of a run that was already finished
		return errUnfinished
	}
	return os.WriteFile(done, nil, 0o666)
}

// accuracyOfRun returns the accuracy of a run's backbone.
func (c *course) accuracyOfRun(ctx context.Context, run string) (float64, error) {
	model := c.path("ours.onnx")
	if _, err := c.program(ctx, "learn-export", c.device, "export", run, "-o", model, "--threads", fmt.Sprint(c.threads)); err != nil {
		return 0, err
	}
	return c.accuracy(ctx, "ours", model)
}

// accuracy has vicreg eval classify the test images by their nearest training images, with eval's
// default number of neighbours.
func (c *course) accuracy(ctx context.Context, name, model string) (float64, error) {
	out, err := c.program(ctx, "learn-eval-"+name, c.device, "eval", "--model", model, "--data", c.test, "--reference", c.train,
		"--json", "--threads", fmt.Sprint(c.threads))
	if err != nil {
		return 0, err
	}
	var found struct {
		Kinds struct {
			KNN               *float64 `json:"knn"`
			Raw               float64  `json:"knn_raw"`
			Images, Reference int
		}
	}
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		return 0, fmt.Errorf("vicreg eval: %w", err)
	}
	if found.Kinds.KNN == nil {
		return 0, errors.New("vicreg eval gives no accuracy")
	}
	say("%s: kNN accuracy %.2f %% on %d images with neighbours among %d (raw pixels %.2f %%)", name, 100**found.Kinds.KNN,
		found.Kinds.Images, found.Kinds.Reference, 100*found.Kinds.Raw)
	return *found.Kinds.KNN, nil
}
