// Package steps runs one training step repeatedly for the benchmarks: ours in one process and
// PyTorch's in another, in turns or one after another.
package steps

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"vicreg/models"
	"vicreg/models/graph"
	"vicreg/models/optim"
	"vicreg/models/ort"
	"vicreg/models/tensor"
)

// Setup is a training step at one size, in terms of train_step_torch.py's flags, and what it runs
// on.
type Setup struct {
	Name, Model, Stem, Expander string
	Width, Size, Batch          int

	Optimizer string // as in vicreg train; "" for sgd
	Device    string // "cpu", "cuda" or "cuda:1"
	Precision string // "fp32", or on a CUDA device "tf32", "fp16" or "bf16"
	Kernels   string // "auto" or "portable", as in vicreg train
	Apart     bool   // the views are processed one after the other even if they could be one batch
	SumsApart bool   // no convolution computes the statistics of its output as it writes it
	Threads   int
	Capture   bool   // record the launches of a step and replay them
	Profile   string // prefix of the profile file, "" for none

	SyncNorm    bool   // those processes share the statistics of their parts of Batch
	Collectives string // the library that joins the processes sharing Batch; "" for a single process
	Socket      string // on which the first of them relays its commands
	group       graph.Group
}

// String describes the setup in a line.
func (s Setup) String() string {
	return fmt.Sprintf("%s, %s stem, width %d, %d px, %d images a view, expander %s, %s on %s",
		s.Model, s.Stem, s.Width, s.Size, s.Batch, s.Expander, s.Precision, s.Device)
}

// computes maps precisions to the type of activations.
var computes = map[string]tensor.DType{"fp32": tensor.Float32, "tf32": tensor.Float32, "fp16": tensor.Float16, "bf16": tensor.BFloat16}

// config returns the configuration of the step's graph on a device.
func (s Setup) config(lib *ort.Runtime, d ort.Device) (c models.Config, err error) {
	c = models.Config{Loss: models.Loss{Invariance: 25, Variance: 25, Covariance: 1}, Batch: s.Batch / max(s.group.Size, 1), Size: s.Size, Group: s.group,
		Mean: [3]float64{0.4914, 0.4822, 0.4465}, Std: [3]float64{0.2470, 0.2435, 0.2616}}
	if c.Backbone, err = models.NewResNet(s.Model, s.Stem, s.Width); err != nil {
		return c, err
	}
	c.Expander.Activation = "relu"
	if c.Expander.Widths, err = widths(s.Expander); err != nil {
		return c, err
	}
	if c.Optimizer, err = optim.Default(cmp.Or(s.Optimizer, "sgd")); err != nil {
		return c, err
	}
	var ok bool
	if c.Compute, ok = computes[s.Precision]; !ok || d.Kind == tensor.Host && s.Precision != "fp32" {
		return c, fmt.Errorf("no precision %q on %v", s.Precision, d)
	}
	c.SyncNorm = s.SyncNorm && d.Kind == tensor.Host
	if d.Kind == tensor.Host && s.Kernels == "auto" {
		c.Block, err = ort.BlockSize(lib)
	}
	if d.Kind != tensor.Host {
		c.Device, c.TF32, c.Apart = d.Kind, s.Precision == "tf32", s.Apart
		c.SumsApart = s.SumsApart
		c.CustomOps = s.Kernels != "portable"
	}
	return c, err
}

func widths(text string) (all []int, err error) {
	for w := range strings.SplitSeq(text, "-") {
		n, err := strconv.Atoi(w)
		if err != nil {
			return nil, fmt.Errorf("expander %q: %w", text, err)
		}
		all = append(all, n)
	}
	return all, nil
}

// options are the session options of vicreg train: host threads spin only if the step runs on them.
func (s Setup) options(d ort.Device, c models.Config) ort.Options {
	return ort.Options{Device: d, TF32: s.Precision == "tf32" || s.Precision == "fp16" && !c.CustomOps, FuseBias: d.Kind != tensor.Host, Threads: s.Threads, Spin: d.Kind == tensor.Host,
		Capture: s.Capture && d.Kind != tensor.Host, ProfilePrefix: s.Profile}
}

// flags are the flags of train_step_torch.py for the same step.
func (s Setup) flags() []string {
	return []string{"--model", s.Model, "--stem", s.Stem, "--width", fmt.Sprint(s.Width), "--image-size", fmt.Sprint(s.Size),
		"--batch", fmt.Sprint(s.Batch), "--expander", s.Expander, "--threads", fmt.Sprint(s.Threads),
		"--device", s.Device, "--precision", s.Precision}
}

// Library opens the runtime library for a device.
func Library(d ort.Device) (*ort.Runtime, error) {
	path, err := ort.FindFor("", d)
	if err != nil {
		return nil, err
	}
	return ort.Open(path)
}

// Describe returns the portable graph of a step in float32, whatever it runs on.
func Describe(s Setup) (models.Config, error) {
	s.Kernels, s.Precision = "portable", "fp32"
	d, err := ort.ParseDevice(s.Device)
	if err != nil {
		return models.Config{}, err
	}
	return s.config(nil, d)
}
