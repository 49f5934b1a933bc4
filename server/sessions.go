package server

import (
	"slices"

	"vicreg/models/ort"
	"vicreg/server/engine"
)

// suit sets the flags that were not given to the device's defaults, and derives other settings from
// those that were.
func (f *serveFlags) suit(given func(flag string) bool) {
	if given("max-pixels") { // an image of any shape, as in every command
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

// wide are the options of the first session, on which a batch uses all threads, or the device.
func (f *serveFlags) wide() ort.Options {
	return ort.Options{Device: f.runtime.Device, Threads: f.threads}
}

// more are the options of the other sessions. On the host that is the one whose threads the workers
// share: each runs on its own thread, and the remaining ones help whichever worker asks first. A
// device has no threads to share, but one session per batch size.
func (f *serveFlags) more() []ort.Options {
	switch {
	case !f.runtime.OnHost():
		return slices.Repeat([]ort.Options{f.wide()}, engine.Sessions(f.runtime.Device, f.MaxBatch)-1)
	case f.Workers == 1:
		return nil
	}
	return []ort.Options{{Threads: f.threads - f.Workers + 1}}
}
