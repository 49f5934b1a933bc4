package server

import (
	"io"
	"slices"
	"testing"

	"vicreg/models/ort"
	"vicreg/models/tensor"
	"vicreg/pipeline/usage"
	"vicreg/server/engine"
)

// A device has larger batches, unless flags say otherwise, and a session per batch size; on the CPU
// there is a second session for load.
func TestSessionsOfADevice(t *testing.T) {
	cuda := ort.Device{Kind: tensor.CUDA, Index: 1}
	onCUDA := ort.Options{Device: cuda, Threads: 4}
	for name, c := range map[string]struct {
		args           []string
		wide           ort.Options
		more           []ort.Options
		batch, workers int
	}{
		"cpu":             {nil, ort.Options{Threads: 4}, []ort.Options{{Threads: 1}}, 32, 4},
		"one worker":      {[]string{"--workers", "1"}, ort.Options{Threads: 4}, nil, 32, 1},
		"cuda":            {[]string{"--device", "cuda:1"}, onCUDA, []ort.Options{onCUDA, onCUDA, onCUDA}, engine.DeviceBatch, 1},
		"cuda, and flags": {[]string{"--device", "cuda:1", "--workers", "1", "--max-batch", "8"}, onCUDA, []ort.Options{onCUDA}, 8, 1},
	} {
		f, fs := newServeFlags(io.Discard)
		if err := usage.Parse(fs, append(c.args, "--model", "m.onnx", "--threads", "4")); err != nil {
			t.Fatal(err)
		}
		f.suit(func(name string) bool { return usage.Given(fs, name) })
		if err := f.validate(); err != nil {
			t.Fatal(err)
		}
		if more := f.more(); f.wide() != c.wide || !slices.Equal(more, c.more) || f.MaxBatch != c.batch || f.Workers != c.workers {
			t.Errorf("%s: %+v and %+v, batches of %d, %d workers", name, f.wide(), more, f.MaxBatch, f.Workers)
		}
	}
}
