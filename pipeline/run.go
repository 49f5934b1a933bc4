package pipeline

import (
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"runtime/debug"
	"time"

	"vicreg/models"
	"vicreg/models/ort"
	"vicreg/models/tensor"
	"vicreg/pipeline/checkpoint"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/imaging"
	"vicreg/pipeline/usage"
)

// stepper runs training steps on a state it holds. The state after a step is pending until it is
// accepted or rejected, so a bad step only costs its time. ort.Stepper implements it, on the host
// and on a device.
type stepper interface {
	// NewBatch returns tensors for a step's inputs, in memory that needs no further copy.
	NewBatch() (tensor.Batch, error)
	// StepAhead takes a step on a batch and returns the graph's scalars by name. Meanwhile next,
	// nil if not ready yet, may be copied to a device.
	StepAhead(batch, next tensor.Batch) (map[string]float64, error)
	Accept()
	Reject()
	// Snapshot copies the state out and Restore sets it; keys are the names of the inputs.
	Snapshot() (map[string]*tensor.Tensor, error)
	Restore(map[string]*tensor.Tensor) error
	// Each calls f for every tensor of the state, in an order that depends only on the graph; f
	// must neither modify nor keep them.
	Each(f func(name string, t *tensor.Tensor)) error
	// DeviceMemory is the number of bytes taken on the device; 0 on the host.
	DeviceMemory() (int64, error)
	Close() error
}

// run is a training run in progress: one folder, one graph, one state.
type run struct {
	*trainFlags
	lib   *ort.Runtime
	block int

	artifact  *models.Artifact
	session   *ort.Session
	slow      string // why steps take longer than they could; "" if they do not
	chosen    string // outcome of the kernel search on a device
	capturing bool   // steps are recorded as a CUDA graph and replayed
	opening   func(ort.Options) error
	state     stepper
	watch     *watch // nil when no image is held out
	reader    *dataset.Reader
	loader    *dataset.Loader
	metrics   *metrics

	initial, last *Health // of the held-out images: before the first step, and latest; nil if not measured

	imported imported // by --init
	position checkpoint.Position
	saved    time.Time
}

// newRun builds the graphs and opens the session; it writes nothing. Close releases what it holds.
func newRun(lib *ort.Runtime, t *trainFlags, train, held *dataset.Set) (r *run, err error) {
	r = &run{trainFlags: t, lib: lib, saved: time.Now()}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	if r.block, err = t.machine.block(lib); err != nil {
		return r, err
	}
	if err = t.Precision.suits(t.machine.Device); err != nil {
		return r, err
	}
	if r.artifact, err = models.Step(r.stepConfig()); err != nil {
		return r, err
	}
	if err = enough(r.needs(), ort.Memory()); err != nil {
		return r, err
	}
	if err = r.openStep(); err != nil {
		return r, err
	}
	r.reader = dataset.NewReader(train, dataset.ReaderConfig{Limits: t.Limits(), Conversion: t.Conversion, CacheBytes: int64(t.cacheMB) << 20, MaxBad: t.maxBad})
	if t.leads() {
		r.watch, err = newWatch(lib, &t.Config, t.machine.Alone(), held, t.part())
	}
	return r, err
}

// needs is the minimum of host memory in bytes: the batches in flight and two copies of the state,
// or only a checkpoint's copy if the state is on a device. It leaves out what the runtime needs for
// a step.
func (r *run) needs() int64 {
	const batches = 3 // prefetched and in use
	bytes := batches * 2 * 3 * int64(r.part()) * int64(r.Size) * int64(r.Size)
	sets := int64(2)
	if !r.machine.OnHost() {
		sets = 1
	}
	for _, v := range r.artifact.State {
		bytes += sets * 4 * int64(tensor.Elements(v.Shape))
	}
	return bytes
}

// enough returns an error if a machine with that much memory, 0 for unknown, is too small. Trying
// it out would get this process killed, or another.
func enough(needs, memory int64) error {
	if memory == 0 || needs <= memory {
		return nil
	}
	return usage.Errorf("the run needs %.1f GiB of memory at the least and the machine has %.1f: choose a smaller --width, --expander, --batch or --image-size",
		float64(needs)/(1<<30), float64(memory)/(1<<30))
}

// start sets the state, from the given tensors of a resumed run or newly initialised, and prepares
// the folder. A folder emptied by --force keeps its old run until everything the new one needs is
// ready.
func (r *run) start(position checkpoint.Position, tensors map[string]*tensor.Tensor, stderr io.Writer) (err error) {
	r.position = position
	if tensors == nil {
		tensors = r.artifact.InitialState(r.Seed)
		if r.Init != "" {
			if r.imported, err = importWeights(r.Init, r.artifact, tensors); err != nil {
				return &usage.Error{Err: err}
			}
		}
	}
	if err := r.agree(func() (uint32, error) { return checksum(tensors), nil }); err != nil {
		return err
	}
	if err := r.begin(tensors, stderr); err != nil {
		return err
	}
	debug.FreeOSMemory() // the state was copied, and a step needs the memory
	if !r.leads() {
		r.metrics = noMetrics()
		return nil
	}
	if err := r.claimed(); err != nil {
		return err
	}
	if r.resume {
		err = clearRanks(r.out) // there may be fewer processes now
	} else {
		err = clearFolder(r.out)
	}
	if err != nil {
		return err
	}
	if err := r.writeArtifacts(); err != nil {
		return err
	}
	r.metrics, err = openMetrics(filepath.Join(r.out, metricsFile), position.Step)
	if err == nil && (position.Step == 0 || r.replanned) {
		// From here on the folder holds a resumable run, with the present plan.
		if tensors, err = r.state.Snapshot(); err == nil {
			err = r.write(tensors)
		}
	}
	return err
}

// save writes a checkpoint of the accepted state and the list of bad files.
func (r *run) save() error {
	tensors, err := r.snapshot()
	if err != nil {
		return err
	}
	return r.saveState(tensors)
}

// snapshot copies the state out in the leading process. Others do not need a copy and get nil.
func (r *run) snapshot() (map[string]*tensor.Tensor, error) {
	if !r.leads() {
		return nil, nil
	}
	return r.state.Snapshot()
}

// saveState is save for the result of snapshot. Several processes first verify that they hold the
// same state. The leading one writes it, and each lists the bad files it has met.
func (r *run) saveState(tensors map[string]*tensor.Tensor) error {
	if err := r.agree(r.weights); err != nil {
		return err
	}
	if r.leads() {
		return r.write(tensors)
	}
	r.saved = time.Now()
	return r.listBad()
}

// formatVersion is the checkpoint format version that these settings require.
func (c *Config) formatVersion() int {
	if c.Conversion != (imaging.Conversion{}) {
		return 2
	}
	return 1
}

// write is saveState in the leading process.
func (r *run) write(tensors map[string]*tensor.Tensor) error {
	config, err := json.Marshal(r.Config)
	if err != nil {
		return err
	}
	if err := r.metrics.Sync(); err != nil {
		return err
	}
	if _, err := checkpoint.Save(r.out, &checkpoint.Checkpoint{FormatVersion: r.formatVersion(), Config: config, Position: r.position, Tensors: tensors}); err != nil {
		return err
	}
	r.saved = time.Now()
	return r.listBad()
}

// Close releases loader, session and files. It may be called on a partly built run.
func (r *run) Close() error {
	var errs []error
	if r.loader != nil {
		r.loader.Close()
	}
	if r.watch != nil {
		errs = append(errs, r.watch.Close())
	}
	errs = append(errs, r.closeStep())
	if r.metrics != nil {
		errs = append(errs, r.metrics.Close())
	}
	return errors.Join(errs...)
}
