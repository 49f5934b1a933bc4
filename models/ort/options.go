package ort

import (
	"errors"
	"strconv"

	onnxruntime "github.com/yalue/onnxruntime_go"

	"vicreg/models/tensor"
)

// Level is how much the runtime may rewrite a graph when it loads one.
type Level int

// The levels. Training and serving use All; the others help to find out which rewrite did what.
const (
	All Level = iota
	Basic
	None
)

// Options are the settings of one session. The zero value is good for serving.
type Options struct {
	// Device is what the graph runs on.
	Device Device
	// TF32 lets a CUDA device round the operands of float32 products and convolutions to 10 bits
	// of mantissa, for its tensor cores to multiply.
	TF32 bool
	// Threads is how many threads share the work of one node; 0 means Cores(). The runtime itself
	// ignores container limits.
	Threads int
	// Spin lets idle threads busy-wait for the next node. It speeds up training and starves
	// whatever shares the cores.
	Spin bool
	// Capture records a step's kernel launches once, on a CUDA device, and afterwards replays
	// them in one launch. It is for stepped sessions, where every tensor stays in place; every
	// node must run on the device.
	Capture bool
	// FuseBias lets a CUDA device add the bias of a convolution in the convolution kernel, as
	// suits the channels-last graphs of training.
	FuseBias bool
	// Level of graph optimisation.
	Level Level
	// ProfilePrefix, if set, writes a profile to a JSON file whose name starts with it; the file
	// is complete once the session is closed.
	ProfilePrefix string
	// Warnings shows the runtime's warnings on standard error; errors are always shown.
	Warnings bool
}

// build converts the options to onnxruntime_go's form. The caller destroys it.
//
// Two settings are fixed. The arena is on: without it a training step is a quarter slower. Memory
// patterns are off: they hold the peak of a step twice.
func (o Options) build() (*onnxruntime.SessionOptions, error) {
	so, err := onnxruntime.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	threads := o.Threads
	if threads == 0 {
		threads = Cores()
	}
	spin, severity := "0", onnxruntime.LoggingLevel(onnxruntime.LoggingLevelError)
	if o.Spin {
		spin = "1"
	}
	if o.Warnings {
		severity = onnxruntime.LoggingLevelWarning
	}
	level := map[Level]onnxruntime.GraphOptimizationLevel{
		All:   onnxruntime.GraphOptimizationLevelEnableAll,
		Basic: onnxruntime.GraphOptimizationLevelEnableBasic,
		None:  onnxruntime.GraphOptimizationLevelDisableAll,
	}[o.Level]
	errs := []error{
		so.SetGraphOptimizationLevel(level),
		so.SetIntraOpNumThreads(threads),
		so.AddSessionConfigEntry("session.intra_op.allow_spinning", spin),
		so.SetMemPattern(false),
		so.SetCpuMemArena(true),
		so.SetLogSeverityLevel(severity),
		o.collectives(so),
	}
	if o.ProfilePrefix != "" {
		errs = append(errs, so.EnableProfiling(o.ProfilePrefix))
	}
	if o.Device.Kind == tensor.CUDA {
		// Record what runs where, for Placement.
		errs = append(errs, so.AddSessionConfigEntry("session.record_ep_graph_assignment_info", "1"), o.cuda(so))
	}
	if err := errors.Join(errs...); err != nil {
		so.Destroy()
		return nil, err
	}
	return so, nil
}

// cuda puts the CUDA provider ahead of the host's.
func (o Options) cuda(so *onnxruntime.SessionOptions) error {
	p, err := onnxruntime.NewCUDAProviderOptions()
	if err != nil {
		return err
	}
	defer p.Destroy()
	flag := map[bool]string{false: "0", true: "1"}
	err = p.Update(map[string]string{
		"device_id": strconv.Itoa(o.Device.Index),
		// The arena doubles by default, which could take up to twice what a step needs.
		"arena_extend_strategy": "kSameAsRequested",
		"use_tf32":              flag[o.TF32],
		"enable_cuda_graph":     flag[o.Capture],
		"fuse_conv_bias":        flag[o.FuseBias],
	})
	if err != nil {
		return err
	}
	return errors.Join(so.AppendExecutionProviderCUDA(p), o.customOps(so))
}
