package pipeline

import (
	"bytes"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vicreg/models"
	"vicreg/models/optim"
	"vicreg/models/tensor"
	"vicreg/pipeline/checkpoint"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/imaging"
)

// fakeStepper counts steps accepted and rejected; finite says which steps have a finite gradient.
type fakeStepper struct {
	finite             func(step int) bool
	loss               float64
	norm               func(step int) float64 // of the gradient; nil for 1
	variance           float64
	steps              int
	rates, scales      []float64
	accepted, rejected int
	fails              error        // returned by every step
	next               tensor.Batch // announced at the last step; nil for none
	told               int          // steps with a next batch announced
	wrong              int          // of those, how many were followed by another batch or a changed one
	sum                uint32       // checksum of next's pixels
	slow               time.Duration
}

// pixels is a checksum of a batch's views.
func pixels(b tensor.Batch) uint32 {
	return crc32.Update(crc32.ChecksumIEEE(b[models.View1].Data.([]uint8)), crc32.IEEETable, b[models.View2].Data.([]uint8))
}

func (f *fakeStepper) StepAhead(b, next tensor.Batch) (map[string]float64, error) {
	if f.next != nil && (b[models.View1] != f.next[models.View1] || pixels(b) != f.sum) {
		f.wrong++
	}
	if f.next = next; next != nil {
		f.told++
		f.sum = pixels(next)
	}
	time.Sleep(f.slow) // long enough for the loader to finish a batch
	if f.fails != nil {
		return nil, f.fails
	}
	ok := 0.0
	if f.finite(f.steps) {
		ok = 1
	}
	norm := 1.0
	if f.norm != nil {
		norm = f.norm(f.steps)
	}
	f.steps++
	f.rates = append(f.rates, float64(b[models.Rate].Float32()[0]))
	f.scales = append(f.scales, float64(b[models.LossScale].Float32()[0]))
	return map[string]float64{"loss": f.loss, "finite": ok, "grad_norm": norm, "invariance": 1, "variance": f.variance, "covariance": 3}, nil
}
func (f *fakeStepper) NewBatch() (tensor.Batch, error) {
	return tensor.Batch{models.Rate: tensor.New(tensor.Float32, 1), models.LossScale: tensor.New(tensor.Float32, 1),
		models.View1: tensor.New(tensor.Uint8, 4, 8, 8, 3), models.View2: tensor.New(tensor.Uint8, 4, 8, 8, 3)}, nil
}
func (f *fakeStepper) Accept() { f.accepted++ }
func (f *fakeStepper) Reject() { f.rejected++ }
func (f *fakeStepper) Snapshot() (map[string]*tensor.Tensor, error) {
	return map[string]*tensor.Tensor{"w": tensor.Of([]float32{1})}, nil
}
func (f *fakeStepper) Restore(map[string]*tensor.Tensor) error { return nil }
func (f *fakeStepper) Each(see func(string, *tensor.Tensor)) error {
	see("w", tensor.Of([]float32{1}))
	return nil
}
func (f *fakeStepper) DeviceMemory() (int64, error) { return 3 << 29, nil }
func (f *fakeStepper) Close() error                 { return nil }

func fakeRun(t *testing.T, f *fakeStepper, epochs int) *run {
	t.Helper()
	set, err := dataset.Index(writeImages(t, 8))
	if err != nil {
		t.Fatal(err)
	}
	r := &run{trainFlags: &trainFlags{out: t.TempDir()}, state: f, position: checkpoint.Position{LossScale: 1}}
	r.Batch, r.Size, r.Epochs, r.every = 4, 8, epochs, math.MaxInt64
	r.Recipe, _ = imaging.RecipeNamed("cifar")
	r.Schedule = optim.Schedule{Peak: 1, Total: 2 * epochs}
	r.reader = dataset.NewReader(set, dataset.ReaderConfig{})
	if r.metrics, err = openMetrics(filepath.Join(r.out, metricsFile), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// The next batch is announced once it is complete, and is then the one that follows.
func TestLoopAnnouncesTheNextBatch(t *testing.T) {
	f := &fakeStepper{finite: func(int) bool { return true }, slow: 5 * time.Millisecond}
	r := fakeRun(t, f, 10)
	if err := r.loop(t.Context(), io.Discard, io.Discard); err != nil {
		t.Fatal(err)
	}
	if f.told == 0 || f.told >= f.steps || f.wrong > 0 {
		t.Errorf("of %d steps %d were told of the next batch, %d of another or of one that changed", f.steps, f.told, f.wrong)
	}
}

// metricsOf returns the lines a run has written.
func metricsOf(t *testing.T, r *run) string {
	t.Helper()
	if err := r.metrics.Sync(); err != nil {
		t.Fatal(err)
	}
	lines, err := os.ReadFile(filepath.Join(r.out, metricsFile))
	if err != nil {
		t.Fatal(err)
	}
	return string(lines)
}

func TestStepsThatAreNotFiniteAreRejected(t *testing.T) {
	f := &fakeStepper{finite: func(step int) bool { return step%2 == 0 }}
	r := fakeRun(t, f, 5)
	var printed bytes.Buffer
	if err := r.loop(t.Context(), &printed, io.Discard); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(printed.String(), "; 1.50 GiB of cpu; next: ") {
		t.Errorf("the memory of the device is not told: %s", &printed)
	}
	if strings.Count(printed.String(), "  1 of 2 steps rejected\n") != 5 || strings.Contains(printed.String(), "NaN") {
		t.Errorf("printed\n%s", printed.String())
	}
	if f.accepted != 5 || f.rejected != 5 || r.position.Step != 10 {
		t.Errorf("%d accepted, %d rejected, %d steps", f.accepted, f.rejected, r.position.Step)
	}
	if f.rates[0] != 1 || f.rates[9] >= f.rates[8] {
		t.Errorf("rates %v do not follow the schedule", f.rates)
	}
	if lines := metricsOf(t, r); strings.Count(lines, `"accepted":false`) != 5 {
		t.Errorf("metrics:\n%s", lines)
	}
}

func TestALossThatIsNotFiniteIsRejectedAndLeftOutOfTheMetrics(t *testing.T) {
	f := &fakeStepper{finite: func(int) bool { return true }, loss: math.Inf(1)}
	r := fakeRun(t, f, 2)
	if err := r.loop(t.Context(), io.Discard, io.Discard); err != nil {
		t.Fatal(err)
	}
	lines := metricsOf(t, r)
	if f.rejected != 4 || f.accepted != 0 || strings.Contains(lines, `"loss"`) {
		t.Errorf("%d rejected, metrics:\n%s", f.rejected, lines)
	}
}

func TestARunThatStaysNotFiniteGivesUp(t *testing.T) {
	f := &fakeStepper{finite: func(step int) bool { return step < 4 }}
	err := fakeRun(t, f, 50).loop(t.Context(), io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "have not been finite for 20 steps") || f.steps != 24 {
		t.Errorf("%v after %d steps", err, f.steps)
	}
}

func TestMetricsAfterTheCheckpointAreCut(t *testing.T) {
	path := filepath.Join(t.TempDir(), metricsFile)
	for lines, want := range map[string]string{
		"{\"step\":1}\n{\"step\":2}\n{\"step\":2,\"kind\":\"epoch\"}\n{\"step\":3}\n{\"st": "{\"step\":1}\n{\"step\":2}\n{\"step\":2,\"kind\":\"epoch\"}\n",
		"{\"step\":1}\n\x00\x00\n[]\n{\"step\":2}\n{\"step\":2}":                           "{\"step\":1}\n{\"step\":2}\n", // a power cut in the middle
		"": "",
	} {
		if err := os.WriteFile(path, []byte(lines), 0o666); err != nil {
			t.Fatal(err)
		}
		m, err := openMetrics(path, 2)
		if err != nil {
			t.Fatal(err)
		}
		m.write(map[string]any{"step": 9})
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		if b, _ := os.ReadFile(path); string(b) != want+"{\"step\":9}\n" {
			t.Errorf("of %q kept %q", lines, b)
		}
	}
}
