package pipeline

import (
	"encoding/json"
	"errors"
	"io"
	"os"
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

// stepper runs training steps on a state it holds. The state after a step is
// pending until it is accepted or rejected, so a bad step costs nothing but its
// time. ort.Stepper implements it, on the host and on a device.
type stepper interface {
	// NewBatch returns tensors for what a step is fed, in memory that needs no copy.
	NewBatch() (tensor.Batch, error)
	// StepAhead takes a step on a batch and returns the graph's scalars by name. The
	// next batch, nil if it is not there yet, may be copied to a device meanwhile.
	StepAhead(batch, next tensor.Batch) (map[string]float64, error)
	Accept()
	Reject()
	// Snapshot copies the state out, Restore sets it; by the name of the input.
	Snapshot() (map[string]*tensor.Tensor, error)
	Restore(map[string]*tensor.Tensor) error
	// Each gives f the state tensor by tensor, in an order that is the same for the same
	// graph; f neither changes nor keeps them.
	Each(f func(name string, t *tensor.Tensor)) error
	// DeviceMemory is how many bytes of its device are taken; 0 on the host.
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
	slow      string // why steps take longer than they could; "" for nothing
	chosen    string // what the choice of kernels took on a device
	capturing bool   // the launches of a step are recorded and replayed
	opening   func(ort.Options) error
	state     stepper
	watch     *watch // nil when no image is held out
	reader    *dataset.Reader
	loader    *dataset.Loader
	metrics   *metrics
	folder    *os.File // locked while the run is in progress

	initial, last *Health // of the held-out images, before the first step and now; nil where not measured

	imported imported // by --init
	position checkpoint.Position
	saved    time.Time
}

// newRun builds the graphs and opens the session; it writes nothing. Close
// releases what it holds.
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

// needs is the least of the host's memory in bytes that the run can do with: the
// batches under way and two sets of its state, or the one of a checkpoint when the
// state is on a device. What a step needs besides is the runtime's affair.
func (r *run) needs() int64 {
	const batches = 3 // made ahead, and in use
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

// enough is an error when a machine with so much memory, 0 for unknown, cannot do.
// To find out by trying ends the process, or another.
func enough(needs, memory int64) error {
	if memory == 0 || needs <= memory {
		return nil
	}
	return usage.Errorf("the run needs %.1f GiB of memory at the least and the machine has %.1f: choose a smaller --width, --expander, --batch or --image-size",
		float64(needs)/(1<<30), float64(memory)/(1<<30))
}

// start sets the state, the given tensors of a resumed run or new ones, and takes
// the folder. A folder that --force empties keeps its run until all that a new
// one needs is there.
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
	debug.FreeOSMemory() // the state was copied, and a step wants that memory
	if !r.leads() {
		r.metrics = noMetrics()
		return nil
	}
	if r.folder, err = claimFolder(r.out); err != nil {
		return err
	}
	if r.resume {
		err = clearRanks(r.out) // there may be fewer now
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
		// From here on the folder holds a run that can be resumed, or goes on as it does now.
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

// snapshot copies the state out in the process that leads. Others have no use for a copy, and
// get nil.
func (r *run) snapshot() (map[string]*tensor.Tensor, error) {
	if !r.leads() {
		return nil, nil
	}
	return r.state.Snapshot()
}

// saveState is save for what snapshot has given. Several processes see before that the state
// is the same in all. The one that leads writes it, and each lists the bad files that it has met.
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

// formatVersion is that of checkpoints with these settings.
func (c *Config) formatVersion() int {
	if c.Conversion != (imaging.Conversion{}) {
		return 2
	}
	return 1
}

// write is saveState by the process that leads.
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

// Close releases loader, session and files. It may be called on a half-built run.
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
	if r.folder != nil {
		errs = append(errs, r.folder.Close())
	}
	return errors.Join(errs...)
}
