package bulk

import (
	"flag"

	"vicreg/models/ort"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/usage"
)

// MaxThreads exceeds the core count of any machine.
const MaxThreads = 4096

// Machine holds the flags for the hardware that the work runs on.
type Machine struct {
	encoder.RuntimeFlags
	Threads int // of the runtime; 0 for all cores
}

// Register adds the flags to a command's.
func (m *Machine) Register(fs *flag.FlagSet) {
	m.RuntimeFlags.Register(fs)
	fs.IntVar(&m.Threads, "threads", 0, "`N` ONNX Runtime threads; by default one per core, or the container's share of them")
}

// Validate checks the parsed flags.
func (m *Machine) Validate() error {
	if m.Threads < 0 || m.Threads > MaxThreads {
		return usage.Errorf("--threads %d: want 1 to %d, or 0 for the default", m.Threads, MaxThreads)
	}
	return nil
}

// Workers returns how many batches a bulk encoding runs at once. On the host, one batch per thread
// beats one batch spread over all threads, because no thread waits for another. A device is
// saturated by one.
func (m *Machine) Workers() int {
	if !m.OnHost() {
		return 1
	}
	return min(m.threads(), 8)
}

// Session returns the options of a session that runs Workers batches at once. Left-over threads
// help whichever batch claims them first.
func (m *Machine) Session() ort.Options {
	return ort.Options{Device: m.Device, Threads: m.threads() - m.Workers() + 1}
}

// Alone returns the options of a session that runs one batch at a time.
func (m *Machine) Alone() ort.Options { return ort.Options{Device: m.Device, Threads: m.threads()} }

func (m *Machine) threads() int {
	if m.Threads > 0 {
		return m.Threads
	}
	return ort.Cores()
}
