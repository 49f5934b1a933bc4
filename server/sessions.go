package server

import (
	"slices"

	"vicreg/models/ort"
	"vicreg/server/engine"
)

// suit gives the flags that were not given the defaults of the device, and settings that
// are no flags what follows from those that were.
func (f *serveFlags) suit(given func(flag string) bool) {
	if given("max-pixels") { // of any shape, as of every command
		f.Limits.Side = f.Limits.Pixels
	}
	if f.runtime.OnHost() {
		return
	}
	if !given("max-batch") {
		f.MaxBatch = engine.DeviceBatch
	}
	if f.Workers == 0 {
		f.Workers = 1
	}
}

// wide are the options of the first session, on which a batch has all threads, or the
// device.
func (f *serveFlags) wide() ort.Options {
	return ort.Options{Device: f.runtime.Device, Threads: f.threads}
}

// more are the options of the other sessions. On the host it is that on which workers
// share the threads: each runs on one of its own, and what is left helps whoever asks
// first. A device has no threads to share, but one session for each size of its batches.
func (f *serveFlags) more() []ort.Options {
	switch {
	case !f.runtime.OnHost():
		return slices.Repeat([]ort.Options{f.wide()}, engine.Sessions(f.runtime.Device, f.MaxBatch)-1)
	case f.Workers == 1:
		return nil
	}
	return []ort.Options{{Threads: f.threads - f.Workers + 1}}
}
