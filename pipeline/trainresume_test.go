package pipeline

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vicreg/models/optim"
	"vicreg/models/ort/orttest"
	"vicreg/pipeline/checkpoint"
	"vicreg/pipeline/usage"
)

// stepwise runs the first steps of a run of two epochs on data, one process per step.
func stepwise(t *testing.T, data, out string, steps int) {
	t.Helper()
	for i := range steps {
		args := []string{"--out", out, "--resume", "--time-limit", "1ns"}
		if i == 0 {
			args = []string{"--data", data, "--out", out, "--holdout", "0", "--warmup", "1", "--time-limit", "1ns"}
		}
		if printed, err := train(t, t.Context(), args...); err != nil {
			t.Fatal(printed, err)
		}
	}
}

// stepLine holds the fields of a metrics line that the tests need.
type stepLine struct {
	Kind     string
	LR       float64
	GradNorm float64 `json:"grad_norm"`
}

// stepLines returns the step lines of a run's metrics.
func stepLines(t *testing.T, run string) (steps []stepLine) {
	t.Helper()
	f, err := os.Open(filepath.Join(run, metricsFile))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var line stepLine
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if line.Kind == "step" {
			steps = append(steps, line)
		}
	}
	return steps
}

// ratesOf returns the learning rates of a run's steps.
func ratesOf(t *testing.T, run string) (rates []float64) {
	t.Helper()
	for _, s := range stepLines(t, run) {
		rates = append(rates, s.LR)
	}
	return rates
}

// A run resumed with more or fewer images ends like one that had them from the start: after the
// same number of epochs, and with the same learning rates from the same point on.
func TestResumeWithOtherImages(t *testing.T) {
	few, many := writeImages(t, 16), writeImages(t, 32) // 2 and 4 steps per epoch
	for _, c := range []struct {
		before, now string
		steps, at   int // before the run stops; the same point in steps after the change
		images      int
		said        string
	}{
		{few, many, 1, 2, 32, "the data has changed: 16 images before, 32 now in " + many + "; continuing with these, 4 steps per epoch instead of 2, from the same epoch"},
		{many, few, 3, 1, 16, "the data has changed: 32 images before, 16 now in " + few + "; continuing with these, 2 steps per epoch instead of 4, from the same epoch"},
	} {
		out := t.TempDir()
		stepwise(t, c.before, out, c.steps)
		printed, err := train(t, t.Context(), "--data", c.now, "--out", out, "--resume", "--time-limit", "1ns")
		if err != nil || !strings.Contains(printed, c.said) {
			t.Errorf("%v, printed\n%s", err, printed)
		}
		printed, err = train(t, t.Context(), "--out", out, "--resume", "--data", c.now)
		if err != nil || strings.Contains(printed, "other images") {
			t.Errorf("the second time: %v, printed\n%s", err, printed)
		}
		perEpoch := c.images / 8
		schedule := optim.Schedule{Peak: 0.05, Warmup: perEpoch, Total: 2 * perEpoch}
		var want []float64
		for step := c.at; step < schedule.Total; step++ {
			want = append(want, schedule.At(step))
		}
		if got := ratesOf(t, out)[c.steps:]; !slices.Equal(got, want) {
			t.Errorf("rates %v, want %v", got, want)
		}
		if kept := configOf(t, out); kept.Images != c.images || kept.Schedule != schedule {
			t.Errorf("it ended with %+v", kept)
		}
		if p := latest(t, out).Position; p.Epoch != 2 || p.Batch != 0 || int(p.Step) != c.steps+len(want) {
			t.Errorf("it ended at %+v", p)
		}
	}
}

func configOf(t *testing.T, run string) (c Config) {
	t.Helper()
	if err := json.Unmarshal(latest(t, run).Config, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// The same number of images under other names changes only the images seen.
func TestResumeWithAsManyOtherImages(t *testing.T) {
	data, other, out := writeImages(t, 20), t.TempDir(), t.TempDir()
	stepwise(t, data, out, 1)
	if err := os.CopyFS(filepath.Join(other, "new"), os.DirFS(data)); err != nil {
		t.Fatal(err)
	}
	before := configOf(t, out)
	printed, err := train(t, t.Context(), "--data", other, "--out", out, "--resume", "--time-limit", "1ns")
	if err != nil || !strings.Contains(printed, "the data has changed: 20 images before, 20 now in "+other+"; continuing with these\n") {
		t.Errorf("%v, printed\n%s", err, printed)
	}
	if now := configOf(t, out); now.Schedule != before.Schedule || now.DataSet == before.DataSet {
		t.Errorf("%+v becomes %+v", before, now)
	}
	if p := latest(t, out).Position; p.Step != 2 || p.Epoch != 1 {
		t.Errorf("it stopped at %+v", p)
	}
}

func TestReplanStaysWithinAnEpoch(t *testing.T) {
	for _, c := range []struct{ before, batch, now, want, warmup int }{
		{10, 7, 5, 3, 8}, {10, 9, 1, 0, 2}, {10, 0, 30, 0, 45}, {3, 2, 7, 4, 35}, {2, 60, 4, 3, 30},
	} {
		run := Config{Epochs: 4}
		run.Schedule.Total, run.Schedule.Warmup = 4*c.before, 15
		p := checkpoint.Position{Epoch: 1, Batch: c.batch}
		run.replan(c.now, &p)
		if p.Batch != c.want || run.Schedule.Total != 4*c.now || run.Schedule.Warmup != c.warmup {
			t.Errorf("%+v: %+v, %+v", c, p, run.Schedule)
		}
	}
}

// A run whose images have moved says how to resume.
func TestResumeFromElsewhere(t *testing.T) {
	data, out := writeImages(t, 16), t.TempDir()
	t.Chdir(filepath.Dir(data))
	if printed, err := train(t, t.Context(), "--data", filepath.Base(data), "--out", out, "--time-limit", "1ns"); err != nil {
		t.Fatal(printed, err)
	}
	t.Chdir(t.TempDir())
	const hint = "; the run was started with that folder: if it has moved, give the new place with --data DIR"
	for _, c := range []struct {
		args   []string
		hinted bool
	}{{nil, true}, {[]string{"--data", "nowhere"}, false}} {
		_, err := train(t, t.Context(), append(c.args, "--out", out, "--resume")...)
		var wrong *usage.Error
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), "does not exist") || strings.HasSuffix(err.Error(), hint) != c.hinted {
			t.Errorf("%v: %v", c.args, err)
		}
	}
	if printed, err := train(t, t.Context(), "--out", out, "--resume", "--data", data, "--time-limit", "1ns"); err != nil {
		t.Error(printed, err)
	}
}

// A run, finished or not, is given more or fewer epochs, and continues with the learning rates of a
// run of that length.
func TestResumeWithOtherEpochs(t *testing.T) {
	data := writeImages(t, 16) // 2 steps per epoch
	for _, c := range []struct {
		steps  int // before the run stops, of 4
		epochs string
		total  int
		said   string
	}{
		{4, "4", 8, "the run has 4 epochs now in the place of 2; it goes on at epoch 3 along the cosine that ends with them, with the learning rate 0.0375 in the place of 5e-05\n"},
		{1, "3", 6, "the run has 3 epochs now in the place of 2; it goes on at epoch 1 along the cosine that ends with them, after the same warm-up\n"},
		{2, "3", 6, "the run has 3 epochs now in the place of 2; it goes on at epoch 2 along the cosine that ends with them, after the same warm-up\n"},
	} {
		out := t.TempDir()
		stepwise(t, data, out, c.steps)
		printed, err := train(t, t.Context(), "--out", out, "--resume", "--epochs", c.epochs)
		if err != nil || !strings.Contains(printed, "vicreg train: "+c.said) {
			t.Errorf("%v, printed\n%s", err, printed)
		}
		schedule := optim.Schedule{Peak: 0.05, Warmup: 2, Total: c.total}
		var want []float64
		for step := c.steps; step < c.total; step++ {
			want = append(want, schedule.At(step))
		}
		if got := ratesOf(t, out)[c.steps:]; !slices.Equal(got, want) {
			t.Errorf("rates %v, want %v", got, want)
		}
		if kept := configOf(t, out); kept.Schedule != schedule || 2*kept.Epochs != c.total {
			t.Errorf("it ended with %+v", kept)
		}
	}
}

// A run can be shortened as long as it still comes out of its warm-up: it would end at its highest
// learning rate.
func TestFewerEpochs(t *testing.T) {
	for _, c := range []struct {
		epochs, warmup, batch int // the run is in its second epoch of 10, of 21 steps each
		want                  string
	}{
		{2, 42, 0, "--epochs 2: the run would end in its warm-up of 42 steps, 21 an epoch, with the learning rate at its highest: give at least 3"},
		{2, 50, 0, "--epochs 2: the run would end in its warm-up of 50 steps, 21 an epoch, with the learning rate at its highest: give at least 3"},
		{2, 41, 0, "the run has 2 epochs now in the place of 10; it goes on at epoch 2 along the cosine that ends with them, after the same warm-up"},
		{3, 42, 20, "the run has 3 epochs now in the place of 10; it goes on at epoch 2 along the cosine that ends with them, after the same warm-up"},
		{2, 0, 0, "the run has 2 epochs now in the place of 10; it goes on at epoch 2 along the cosine that ends with them, with the learning rate 0.5 in the place of 0.976"},
		{1, 0, 0, "--epochs 1: the run has already done 1 epoch; give a larger number"},
	} {
		run := Config{Epochs: 10}
		run.Schedule = optim.Schedule{Peak: 1, Warmup: c.warmup, Total: 210}
		before := run
		said, err := run.lengthen(c.epochs, checkpoint.Position{Epoch: 1, Batch: c.batch})
		var wrong *usage.Error
		switch refused := errors.As(err, &wrong); {
		case refused && (err.Error() != c.want || run.Epochs != before.Epochs || run.Schedule != before.Schedule):
			t.Errorf("%+v: %v, leaves %+v", c, err, run.Schedule)
		case !refused && (err != nil || said != c.want || run.Epochs != c.epochs || run.Schedule.Total != 21*c.epochs):
			t.Errorf("%+v: %v, said %s", c, err, said)
		}
	}
}

// A run of which no checkpoint can be read is told from a folder without one.
func TestDamagedCheckpoints(t *testing.T) {
	dir := t.TempDir()
	lib := []string{"--onnxruntime", orttest.Open(t).Path()}
	for _, want := range []string{"the only checkpoint in " + dir + " cannot be read", "none of the 2 checkpoints in " + dir + " can be read"} {
		put(t, dir, "checkpoint-"+fmt.Sprint(len(names(t, dir)))+".safetensors", []byte("damaged"))
		_, resumed := train(t, t.Context(), "--out", dir, "--resume")
		for _, err := range []error{resumed, Export(t.Context(), append(lib, dir), io.Discard, io.Discard)} {
			var wrong *usage.Error
			if !errors.As(err, &wrong) || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%v, want %s", err, want)
			}
		}
	}
}

// The new plan is on disk before the run continues with it.
func TestResumeKeepsItsPlan(t *testing.T) {
	data, out := writeImages(t, 16), t.TempDir()
	stepwise(t, data, out, 4)
	var seen []int
	stdout := &printer{do: func([]byte) { seen = append(seen, configOf(t, out).Epochs) }}
	if err := Train(t.Context(), smallRun(t, []string{"--out", out, "--resume", "--epochs", "4"}), stdout, io.Discard); err != nil {
		t.Fatal(err)
	}
	if seen[0] != 4 {
		t.Errorf("%d epochs when the run begins to speak", seen[0])
	}
}

// A finished run says so whatever images it is given, and needs more epochs to continue.
func TestResumeOfAFinishedRun(t *testing.T) {
	data, other, out := writeImages(t, 16), writeImages(t, 32), t.TempDir()
	stepwise(t, data, out, 4)
	for _, more := range [][]string{nil, {"--data", other}, {"--epochs", "2"}, {"--data", "nowhere"}} {
		printed, err := train(t, t.Context(), append(more, "--out", out, "--resume")...)
		if want := "done       this run has finished: 2 epochs, 4 steps; extend it with --resume --epochs N; next: vicreg export " + out + "\n"; err != nil || printed != want {
			t.Errorf("%v: %v, printed\n%s", more, err, printed)
		}
	}
	var wrong *usage.Error
	if _, err := train(t, t.Context(), "--out", out, "--resume", "--epochs", "1"); !errors.As(err, &wrong) || !strings.Contains(err.Error(), "--epochs 1: the run has already done 2 epochs") {
		t.Errorf("got %v", err)
	}
	printed, err := train(t, t.Context(), "--out", out, "--resume", "--epochs", "3", "--data", other)
	if err != nil || !strings.Contains(printed, "the run has 3 epochs now") || !strings.Contains(printed, "4 steps per epoch instead of 2") || latest(t, out).Position.Step != 8 {
		t.Errorf("%v, at %+v, printed\n%s", err, latest(t, out).Position, printed)
	}
}
