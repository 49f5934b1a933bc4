package pipeline

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"vicreg/models/tensor"
	"vicreg/pipeline/bulk"
	"vicreg/pipeline/checkpoint"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/usage"
)

// trainFlags holds the settings that determine what a run computes and the command's other flags.
type trainFlags struct {
	settings
	out           string
	folder        *os.File // the folder out while it is locked; nil in processes that do not lead
	found         []string // the checkpoints in it when it was claimed
	resume, force bool
	moved         bool // a resumed run was given --data
	timeLimit     time.Duration
	every         time.Duration
	machine       machine
	workers       int
	cacheMB       int
	maxBad        float64
	collectives   string
	syncNorm      bool
	joined        group // nil for a single process
	replanned     bool  // the run's plan differs from its last checkpoint's
	met           bool  // all processes have reached the end
}

func newTrainFlags(out io.Writer) (*trainFlags, *flag.FlagSet) {
	fs := usage.Flags(out, usage.Text{
		Name:     "train",
		Purpose:  "Pretrain an image backbone with VICReg on a folder of unlabelled images.",
		Synopsis: "--data DIR --out RUN [flags]",
		Examples: []string{
			"vicreg train --data photos --out runs/photos",
			"vicreg train --data photos --out runs/small --image-size 32 --width 16 --epochs 20",
			"vicreg train --out runs/photos --resume",
			"vicreg train --out runs/photos --resume --epochs 200",
		},
		Notes: fmt.Sprintf(`RUN receives metrics.jsonl (one line per step, and one per epoch on the held-out images),
checkpoints, the training artifacts as ONNX files, and bad-images.txt if files could not
be read. vicreg data preview shows the views that a recipe produces.

On Ctrl-C, SIGTERM, SIGUSR1 and SIGHUP (a lost terminal; nohup prevents it) the run
finishes the step, writes a checkpoint and exits with code 130. A run continues if its
output is no longer read. --resume continues from the newest checkpoint: bit for bit on the same
CPU, and also on another device or in another --precision, since weights are float32 in
each. With --epochs it extends a run, even a finished one; the learning rate then follows
the cosine schedule for that many epochs. --init RUN/checkpoint-STEP.safetensors starts a
new run from the backbone of another.

fp16 keeps activations in 16 bits and scales the loss: the scale halves after a step
whose gradient is not finite (which is skipped), and doubles after %d good ones. bf16
needs no scaling, since it has the range of float32, but its precision is 8 bits where
fp16 has 11.

--collectives joins processes, on one machine or several, that share each batch, through
a library of four functions over MPI, NCCL or the like. All run the same command and need
access to the same images and, to resume, the same RUN, which the first of them writes.

`, growAfter) + recipeNotes(),
	})
	t := &trainFlags{}
	t.register(fs)
	t.machine.register(fs)
	fs.StringVar((*string)(&t.machine.precision), "precision", "", "`arithmetic` of a step: fp32, or on a CUDA device tf32, fp16 or bf16 (from compute capability 8.0); by default fp32 on the CPU and tf32 on CUDA, and with --resume that of the run if possible")
	fs.StringVar(&t.out, "out", "", "run folder `RUN`")
	fs.BoolVar(&t.resume, "resume", false, "continue the run in RUN; its settings are kept; of these only --data and --epochs may change")
	fs.BoolVar(&t.force, "force", false, "start over in a folder that already holds a run")
	fs.DurationVar(&t.timeLimit, "time-limit", 0, "write a checkpoint and stop after this `time`, such as 2h; --resume continues")
	fs.DurationVar(&t.every, "checkpoint-every", 10*time.Minute, "`time` between checkpoints within an epoch; each epoch also ends with one")
	fs.IntVar(&t.workers, "workers", 0, "`N` goroutines that decode and augment; by default one per core")
	fs.IntVar(&t.cacheMB, "cache-mb", 1024, "`MB` of memory for caching decoded images, which saves decoding them after the first epoch")
	fs.Float64Var(&t.maxBad, "max-bad", 0.5, "stop when more than this `fraction` of the images is bad")
	fs.StringVar(&t.collectives, "collectives", "", "shared `LIBRARY` that connects this process with others to train one model, each on its part of --batch")
	fs.BoolVar(&t.syncNorm, "sync-batchnorm", true, "with --collectives, on the CPU, normalise by the statistics of the whole batch, as PyTorch's SyncBatchNorm does, and not by those of the process's own part")
	return t, fs
}

// Train pretrains a backbone: vicreg train.
func Train(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	t, fs := newTrainFlags(stdout)
	if err := usage.Parse(fs, args); err != nil {
		return err
	}
	joined, leave, err := joinGroup(t.collectives)
	if err != nil {
		return err
	}
	defer func() {
		if t.met {
			leave()
		}
	}()
	t.joined = joined
	return t.run(ctx, fs, t.quiet(stdout), t.named(stderr))
}

// run starts or resumes the run and trains until it is done or ctx ends.
func (t *trainFlags) run(ctx context.Context, fs *flag.FlagSet, stdout, stderr io.Writer) (err error) {
	defer t.release()
	position, tensors, err := t.prepare(fs, stderr)
	if err != nil {
		return err
	}
	if done := t.finished(position); done != "" {
		fmt.Fprintln(stdout, done)
		return t.meet()
	}
	if err := t.shares(); err != nil {
		return err
	}
	train, held, err := t.images(ctx, stderr)
	if err != nil {
		return err
	}
	why, err := t.settle(train, &position, stderr)
	if err != nil {
		return err
	}
	if err := t.warnOfDepth(ctx, train, stderr); err != nil {
		return err
	}
	lib, err := t.machine.Open()
	if err != nil {
		return err
	}
	r, err := newRun(lib, t, train, held)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := r.start(position, tensors, stderr); err != nil {
		return err
	}
	for _, warning := range []string{r.slow, t.doubt()} {
		if warning != "" {
			fmt.Fprintln(stderr, "vicreg train:", warning)
		}
	}
	t.announce(stdout, r, train, held, why)
	return r.loop(ctx, stdout, stderr)
}

// settle adapts the settings to the images, whose number determines the schedule: for a new run, or
// for a resumed one, possibly with other images. It returns the reasons for the choices.
func (t *trainFlags) settle(train *dataset.Set, position *checkpoint.Position, stderr io.Writer) (why choice, err error) {
	if t.resume {
		if t.DataSet != train.Fingerprint() {
			fmt.Fprintln(stderr, "vicreg train:", t.follow(train, position))
		}
		return choice{rate: "as before"}, nil
	}
	t.Images, t.DataSet = train.Len(), train.Fingerprint()
	return t.plan(train.Len())
}

// prepare determines the configuration: from the flags, or with --resume from the checkpoint, whose
// position and tensors it returns. Once the flags are known to be right, it claims the folder.
func (t *trainFlags) prepare(fs *flag.FlagSet, stderr io.Writer) (checkpoint.Position, map[string]*tensor.Tensor, error) {
	if err := t.validate(); err != nil {
		return checkpoint.Position{}, nil, err
	}
	if usage.Given(fs, "sync-batchnorm") {
		if err := t.canSync(); err != nil {
			return checkpoint.Position{}, nil, err
		}
	}
	if t.resume {
		if err := usage.Require(fs, "out"); err != nil {
			return checkpoint.Position{}, nil, err
		}
		return t.reload(fs, stderr)
	}
	if err := usage.Require(fs, "data", "out"); err != nil {
		return checkpoint.Position{}, nil, err
	}
	if err := t.canWrite(); err != nil {
		return checkpoint.Position{}, nil, err
	}
	if err := t.resolve(func(name string) bool { return usage.Given(fs, name) }); err != nil {
		return checkpoint.Position{}, nil, err
	}
	t.Precision = cmp.Or(t.machine.precision, usual(t.machine.Device))
	position := checkpoint.Position{Seed: t.Seed}
	beginScale(&position, "", t.Precision)
	if err := t.claim(); err != nil {
		return position, nil, err
	}
	return position, nil, t.checkFolder()
}

// validate reports the first invalid flag that is not one of the settings.
func (t *trainFlags) validate() error {
	switch {
	case t.resume && t.force:
		return usage.Errorf("--resume continues a run and --force starts over: give only one of them")
	case t.workers < 0 || t.workers > bulk.MaxThreads:
		return usage.Errorf("--workers %d: want 1 to %d, or 0 for one a core", t.workers, bulk.MaxThreads)
	case t.cacheMB < 0 || t.cacheMB > math.MaxInt64>>20:
		return usage.Errorf("--cache-mb %d: want 0 to %d", t.cacheMB, math.MaxInt64>>20)
	case !(t.maxBad > 0 && t.maxBad <= 1):
		return usage.Errorf("--max-bad %g: want a fraction above 0 and at most 1", t.maxBad)
	case t.timeLimit < 0:
		return usage.Errorf("--time-limit %v: want a time above 0, or 0 for none", t.timeLimit)
	case t.every < 0:
		return usage.Errorf("--checkpoint-every %v: want 0 or more", t.every)
	}
	return t.machine.validate()
}

// images indexes the folder, says which files in it are skipped, and splits off the held-out images.
func (t *trainFlags) images(ctx context.Context, stderr io.Writer) (train, held *dataset.Set, err error) {
	all, err := dataset.Open(ctx, t.Data, dataset.Options{})
	switch {
	case ctx.Err() != nil:
		return nil, nil, ctx.Err()
	case err != nil && t.resume && !t.moved:
		return nil, nil, usage.Errorf("%w; the run was started with that folder: if it has moved, give the new place with --data DIR", err)
	case err != nil:
		return nil, nil, &usage.Error{Err: err}
	}
	if others := all.OthersLine(); others != "" && t.leads() {
		fmt.Fprintln(stderr, "vicreg train: skipped", others)
	}
	train, held, t.HoldoutBelow = t.split(all)
	switch {
	case train.Len() < leastBatch:
		return nil, nil, usage.Errorf("too few images in %s: %d to train on and %d held out, while a batch has at least %d", t.Data, train.Len(), held.Len(), leastBatch)
	case t.Batch > train.Len():
		return nil, nil, usage.Errorf("--batch %d is larger than the %d training images (%d held out) in %s: give a smaller one, such as --batch %d",
			t.Batch, train.Len(), held.Len(), t.Data, max(leastBatch, train.Len()/4))
	}
	return train, held, nil
}

// announce prints what was found and chosen.
func (t *trainFlags) announce(w io.Writer, r *run, train, held *dataset.Set, why choice) {
	few := ""
	if t.Holdout > 0 && held.Len() < leastHeld {
		few = fmt.Sprintf(" (too few for %d and a batch of %d: training is not monitored)", leastHeld, t.Batch)
		if t.resume && t.spares(train.Len()+held.Len()) {
			few = " (all others were trained on: training is not monitored)"
		}
	}
	fmt.Fprintf(w, "images     %d for training, %d held out%s, in %s\n", train.Len(), held.Len(), few, t.Data)
	fmt.Fprintf(w, "model      %s\n", t.Config.String())
	if r.imported.Loaded > 0 {
		fmt.Fprintf(w, "weights    %s from %s, %d others ignored\n", usage.Count(r.imported.Loaded, "tensor"), t.Init, len(r.imported.Ignored))
	}
	fmt.Fprintf(w, "views      %s\n", describeViews(t.Recipe, t.Conversion))
	fmt.Fprintf(w, "steps      %s of %s of %s, from step %d\n",
		usage.Count(t.Epochs, "epoch"), usage.Count(train.Len()/t.Batch, "step"), usage.Count(t.Batch, "image"), r.position.Step)
	fmt.Fprintf(w, "optimizer  %s\n", why.describe(t.Optimizer, t.Schedule))
	if t.collectives != "" {
		statistics := "of each part"
		if t.syncsNorm() {
			statistics = "of the whole batch"
		}
		fmt.Fprintf(w, "processes  %d, each with %s of a batch; BatchNorm uses the statistics %s\n", t.group().Size(), usage.Count(t.part(), "image"), statistics)
	}
	fmt.Fprintf(w, "runtime    ONNX Runtime %s, %s, %s\n", r.lib.Version(), r.where(), t.Precision.describe(r.position.LossScale))
	if r.chosen != "" {
		fmt.Fprintf(w, "kernels    %s\n", r.chosen)
	}
}

// where describes what steps run on.
func (r *run) where() string {
	switch {
	case !r.machine.OnHost():
		return "on " + r.machine.Device.String()
	case r.block > 0:
		return fmt.Sprintf("%s, nchwc kernels with blocks of %d", usage.Count(r.machine.Alone().Threads, "thread"), r.block)
	}
	return fmt.Sprintf("%s, portable kernels", usage.Count(r.machine.Alone().Threads, "thread"))
}
