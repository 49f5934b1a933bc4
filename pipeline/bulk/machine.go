package bulk

import (
	"flag"

	"vicreg/models/ort"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/usage"
)

// MaxThreads is beyond any machine's cores.
const MaxThreads = 4096

// Machine are the flags that say what the work runs on.
type Machine struct {
	encoder.RuntimeFlags
	Threads int // of the runtime, 0 for all cores
}

// Register adds the flags to a command's.
func (m *Machine) Register(fs *flag.FlagSet) {
	m.RuntimeFlags.Register(fs)
	fs.IntVar(&m.Threads, "threads", 0, "`N` threads of the runtime; by default the cores, or the container's share of them")
}

// Validate reports, once the flags are parsed, what cannot work.
func (m *Machine) Validate() error {
	if m.Threads < 0 || m.Threads > MaxThreads {
		return usage.Errorf("--threads %d: want 1 to %d", m.Threads, MaxThreads)
	}
	return nil
}

// Workers is how many batches of a bulk encoding run at once. A batch on each thread
// does more than one on all of them while others decode: no thread waits for another.
// A device is full with one.
func (m *Machine) Workers() int {
	if !m.OnHost() {
		return 1
	}
	return min(m.threads(), 8)
}

// Session are the options of a session on which Workers batches run at once. Threads
// that are left over help whoever asks first.
func (m *Machine) Session() ort.Options {
	return ort.Options{Device: m.Device, Threads: m.threads() - m.Workers() + 1}
}

// Alone are the options of a session on which a batch runs at a time.
func (m *Machine) Alone() ort.Options { return ort.Options{Device: m.Device, Threads: m.threads()} }

func (m *Machine) threads() int {
	if m.Threads > 0 {
		return m.Threads
	}
	return ort.Cores()
}
