package ort

/*
#include "shim.h"
*/
import "C"

import (
	"context"
	"errors"

	onnxruntime "github.com/yalue/onnxruntime_go"
)

// Level is how much the runtime may rewrite a graph when it loads one.
type Level int

// The levels. All is what training and serving use; the others are for finding
// out which rewrite did what.
const (
	All Level = iota
	Basic
	None
)

// Options are the settings of one session. The zero value is good for serving.
type Options struct {
	// Device is what the graph runs on.
	Device Device
	// TF32 lets a CUDA device round the operands of float32 products and
	// convolutions to 10 bits, which its tensor cores then multiply.
	TF32 bool
	// Threads is how many threads share the work of one node; 0 is Cores().
	// The runtime itself knows nothing of container limits.
	Threads int
	// Spin lets idle threads burn their core while they wait for the next
	// node. It speeds training up and starves whatever shares the cores.
	Spin bool
	// Level of graph optimisation.
	Level Level
	// ProfilePrefix, when set, writes a profile to a JSON file whose name
	// starts so; the file is complete once the session is closed.
	ProfilePrefix string
	// Warnings shows the runtime's warnings on standard error; errors always are.
	Warnings bool
}

// build makes the library's form of the options. The caller destroys it.
//
// Two settings are not offered. The arena is on: without it a training step is
// a quarter slower. Memory patterns are off: they hold the peak of a step twice.
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
	}
	if o.ProfilePrefix != "" {
		errs = append(errs, so.EnableProfiling(o.ProfilePrefix))
	}
	if err := errors.Join(errs...); err != nil {
		so.Destroy()
		return nil, err
	}
	return so, nil
}

// runUntil runs a session once and stops it when ctx ends.
func runUntil(ctx context.Context, session handle, b binding) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if ctx.Done() == nil {
		return run(session, nil, b)
	}
	var options handle
	if err := failure(C.vr_run_options(&options)); err != nil {
		return err
	}
	defer C.vr_release_run_options(options)
	told := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() { told <- failure(C.vr_terminate(options)) })
	err := run(session, options, b)
	if !stop() {
		// It has begun to use the options: they must outlive it.
		return errors.Join(err, <-told)
	}
	return err
}
