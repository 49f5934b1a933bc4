package pipeline

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math"
	"runtime"
	"slices"
	"time"

	"vicreg/models/graph"
	"vicreg/models/ort"
	"vicreg/models/tensor"
	"vicreg/pipeline/checkpoint"
	"vicreg/pipeline/usage"
)

// group is the processes that train one model together. All make the same calls in the same order,
// and each call waits for all processes. ort.Group implements it.
type group interface {
	Rank() int
	Size() int
	// AllGather returns the values of every process, ordered by rank. All pass equally many.
	AllGather(mine []float32) ([]float32, error)
}

// lone is the group of a single process.
type lone struct{}

func (lone) Rank() int                                   { return 0 }
func (lone) Size() int                                   { return 1 }
func (lone) AllGather(mine []float32) ([]float32, error) { return mine, nil }

// joinGroup joins the group of a collectives library; it returns nil if library is "". The caller
// must call leave at the end, on the same thread, as MPI requires.
func joinGroup(library string) (g group, leave func(), err error) {
	if library == "" {
		return nil, func() {}, nil
	}
	runtime.LockOSThread()
	joined, err := ort.JoinGroup(library)
	if err != nil {
		runtime.UnlockOSThread()
		return nil, nil, &usage.Error{Err: fmt.Errorf("--collectives: %w", err)}
	}
	return joined, func() { joined.Close(); runtime.UnlockOSThread() }, nil
}

// place returns this process's place in the group, for the graphs.
func place(g group) graph.Group { return graph.Group{Rank: g.Rank(), Size: g.Size()} }

// group returns the group joined, or lone.
func (t *trainFlags) group() group {
	if t.joined == nil {
		return lone{}
	}
	return t.joined
}

// leads reports whether this process writes the run and its output.
func (t *trainFlags) leads() bool { return t.group().Rank() == 0 }

// shares checks that the batch divides evenly among the processes, with enough images in each part
// for BatchNorm's statistics.
func (t *trainFlags) shares() error {
	if n := t.group().Size(); n > 1 && (t.Batch%n != 0 || t.Batch/n < 2) {
		return usage.Errorf("--batch %d: %d processes need equal parts of it, of at least 2 images", t.Batch, n)
	}
	return nil
}

// part is the number of images of a batch that this process handles.
func (t *trainFlags) part() int { return t.Batch / t.group().Size() }

// quiet returns w for the leading process and io.Discard for others.
func (t *trainFlags) quiet(w io.Writer) io.Writer {
	if t.leads() {
		return w
	}
	return io.Discard
}

// named returns w for the leading process; others prefix their rank.
func (t *trainFlags) named(w io.Writer) io.Writer {
	if t.leads() {
		return w
	}
	return &namedWriter{w, fmt.Sprintf("process %d: ", t.group().Rank())}
}

// namedWriter prefixes every Write with a name.
type namedWriter struct {
	io.Writer
	name string
}

func (n *namedWriter) Write(b []byte) (int, error) {
	if _, err := io.WriteString(n.Writer, n.name+string(b)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// syncsNorm reports whether processes share the statistics of batch normalisation. Graphs for CUDA
// do not: its tensors would have to pass through the host for each exchange.
func (t *trainFlags) syncsNorm() bool { return t.syncNorm && t.machine.OnHost() }

// canSync returns an error if --sync-batchnorm was given where it has no effect.
func (t *trainFlags) canSync() error {
	switch {
	case t.collectives == "":
		return usage.Errorf("--sync-batchnorm requires --collectives, which connects the processes that share a batch")
	case t.syncNorm && !t.machine.OnHost():
		return usage.Errorf("--sync-batchnorm: on %v each process normalises its own part of a batch", t.machine.Device)
	}
	return nil
}

// agree returns an error in every process if one has other settings, images or weights than the
// first, other devices or kernels, or another --sync-batchnorm: they would silently train different models. At the start of
// a run it is the group's first communication.
func (r *run) agree(weights func() (uint32, error)) error {
	if r.group().Size() == 1 {
		return nil
	}
	settings := r.Config
	settings.Data, settings.Init = "", "" // paths may differ between machines
	told, err := json.Marshal(settings)
	if err != nil {
		return err
	}
	position, err := json.Marshal(r.position)
	if err != nil {
		return err
	}
	sum, err := weights()
	if err != nil {
		return err
	}
	device := fmt.Sprint(r.machine.Device.Kind, r.machine.kernels, r.syncsNorm())
	sums := []struct {
		what string
		sum  uint32
	}{
		{"images", crc32.ChecksumIEEE([]byte(r.DataSet))},
		{"devices, kernels or --sync-batchnorm", crc32.ChecksumIEEE([]byte(device))},
		{"settings", crc32.ChecksumIEEE(told)},
		{"checkpoints", crc32.ChecksumIEEE(position)}, // one was saved before the others read
		{"weights", sum},
	}
	var mine []float32
	for _, s := range sums { // 16 bits each, which float32 represents exactly
		mine = append(mine, float32(s.sum>>16), float32(s.sum&0xffff))
	}
	all, err := r.group().AllGather(mine)
	if err != nil {
		return err
	}
	for rank, theirs := range slices.Collect(slices.Chunk(all, len(mine))) {
		for i, s := range sums {
			if !slices.Equal(theirs[2*i:2*i+2], all[2*i:2*i+2]) {
				return fmt.Errorf("process %d and process 0 have different %s", rank, s.what)
			}
		}
	}
	return nil
}

// weights returns a checksum of the current state without copying it.
func (r *run) weights() (sum uint32, err error) {
	err = r.state.Each(func(_ string, t *tensor.Tensor) { sum = add(sum, t) })
	return sum, err
}

// checksum is the checksum over all tensors of a state.
func checksum(state map[string]*tensor.Tensor) (sum uint32) {
	for _, name := range slices.Sorted(maps.Keys(state)) {
		sum = add(sum, state[name])
	}
	return sum
}

// add extends a checksum by a tensor.
func add(sum uint32, t *tensor.Tensor) uint32 {
	part := make([]byte, 0, 1<<12)
	for values := range slices.Chunk(t.Float32(), cap(part)/4) {
		part = part[:0]
		for _, v := range values {
			part = binary.LittleEndian.AppendUint32(part, math.Float32bits(v))
		}
		sum = crc32.Update(sum, crc32.IEEETable, part)
	}
	return sum
}

// Reasons why a run ends before its last epoch, in order of increasing priority.
const (
	goesOn = iota
	outOfTime
	interrupted
)

// ends returns why, as far as this process is concerned, the run should end after this step.
func (r *run) ends(ctx context.Context, begin time.Time, next checkpoint.Position) int {
	switch {
	case ctx.Err() != nil:
		return interrupted
	case r.timeLimit > 0 && time.Since(begin) >= r.timeLimit && next.Epoch < r.Epochs:
		return outOfTime
	}
	return goesOn
}

// verdict is the outcome of a step.
type verdict struct {
	accepted bool // the new state is good
	why      int  // why the run ends, or goesOn
	save     bool // a checkpoint is due
}

// vote combines the verdicts of all processes: a step is accepted only if all accept it, the reason
// with the highest priority counts, and the first process decides when to save.
func (r *run) vote(mine verdict) (verdict, error) {
	number := map[bool]float32{true: 1}
	all, err := r.group().AllGather([]float32{number[mine.accepted], float32(mine.why), number[mine.save]})
	if err != nil {
		return mine, err
	}
	v := verdict{accepted: true, save: all[2] == 1}
	for theirs := range slices.Chunk(all, 3) {
		v.accepted, v.why = v.accepted && theirs[0] == 1, max(v.why, int(theirs[1]))
	}
	return v, nil
}

// errOther is a process's error if another one was interrupted.
var errOther = errors.New("another process was interrupted")

// meet waits for all processes at the end, since one that exits earlier may take the others down.
// Only after that does each leave the group: a process that fails exits without leaving, which is
// how the launcher notices.
func (t *trainFlags) meet() error {
	_, err := t.group().AllGather([]float32{0})
	t.met = err == nil
	return err
}
