package server

import "vicreg/models/ort"

// deviceBatch is how many images of a batch are tried on a CUDA device.
const deviceBatch = 128

// suit gives the flags that were not given the defaults of the device.
func (f *serveFlags) suit(given func(flag string) bool) {
	if f.runtime.OnHost() {
		return
	}
	if !given("max-batch") {
		f.MaxBatch = deviceBatch
	}
	if f.Workers == 0 {
		f.Workers = 1
	}
}

// wide are the options of the session on which a batch has all threads, or the device.
func (f *serveFlags) wide() ort.Options {
	return ort.Options{Device: f.runtime.Device, Threads: f.threads}
}

// narrow are the options of the session on which workers share the threads: each runs
// on one of its own, and what is left helps whoever asks first. A device has no threads
// to share: there is one session for all.
func (f *serveFlags) narrow() []ort.Options {
	if f.Workers == 1 || !f.runtime.OnHost() {
		return nil
	}
	return []ort.Options{{Threads: f.threads - f.Workers + 1}}
}
