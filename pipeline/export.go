package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"

	"vicreg/models"
	"vicreg/models/onnx"
	"vicreg/models/tensor"
	"vicreg/pipeline/bulk"
	"vicreg/pipeline/checkpoint"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
	"vicreg/pipeline/usage"
	"vicreg/pipeline/whole"
)

// Export writes the backbone of a run as one ONNX file: vicreg export.
func Export(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := usage.Flags(stdout, usage.Text{
		Name:     "export",
		Purpose:  "Export the backbone of a training run as a frozen ONNX model that maps pixels to a vector.",
		Synopsis: "RUN [flags]",
		Examples: []string{
			"vicreg export runs/photos",
			"vicreg export runs/photos -o backbone.onnx",
			"vicreg export runs/photos --untrained -o untrained.onnx",
			"vicreg export runs/photos --fit pad -o padded.onnx",
		},
		Notes: fmt.Sprintf(`The model takes uint8 pixels [N, S, S, 3] in RGB and returns float32 vectors [N, D]; the
expander is dropped. Normalisation is part of the graph, and the metadata describes how an
image becomes those pixels. It also holds the mean vector over up to %d training
images, which centring needs. The model is first compared with the training graph on
images of the run, and written only if the two agree. An older model of that name is
replaced atomically; files of the run and images are never overwritten.

RUN may also be one of the run's checkpoints, RUN/checkpoint-STEP.safetensors, in the
place of the newest; the model is then called backbone-STEP.onnx.

--fit is stored in the model and part of its fingerprint: whatever opens the model applies
it. pad uses the run's --background. Training saw crops of images, with little distortion
and without bars, which crop matches best. If the edges of images matter, export the run
both ways and compare the models with vicreg eval.

--int8 measures the activation ranges on up to 256 training images, and on other images
how close the vectors are to float32; if the mean cosine of centred vectors is below 0.95,
nothing is written. The result is a different model with its own fingerprint: an index
has to be rebuilt for it.`, centerImages),
	})
	e := export{stderr: stderr}
	fs.StringVar(&e.out, "o", "", "`FILE` to write; by default backbone.onnx in RUN, backbone-STEP.onnx for a checkpoint, or untrained.onnx; with --int8 backbone-int8.onnx")
	fs.StringVar(&e.data, "data", "", "`DIR` with the images of the run, if they have moved")
	fs.BoolVar(&e.untrained, "untrained", false, "export the run's initial weights, as a baseline for comparison")
	encoder.FitFlag(fs, &e.fit, "")
	fs.BoolVar(&e.int8, "int8", false, "use 8-bit integer convolutions: three to four times as fast on CPUs with VNNI, a quarter of the size, nearly the same vectors")
	e.machine.Register(fs)
	if err := usage.Parse(fs, args, usage.Positional{Name: "RUN", Value: &e.run}); err != nil {
		return err
	}
	if err := e.machine.Validate(); err != nil {
		return err
	}
	if e.int8 && !e.machine.OnHost() {
		return usage.Errorf("--int8 makes a model for CPUs and cannot be combined with --device %v", e.machine.Device)
	}
	if err := e.load(ctx); err != nil {
		return err
	}
	return e.write(ctx, stdout)
}

// export is one invocation of vicreg export.
type export struct {
	run, out, data string
	file           string // the checkpoint that was named in the place of its run; "" for the newest
	untrained      bool
	int8           bool
	fit            imaging.Fit
	machine        bulk.Machine
	stderr         io.Writer

	config   Config
	position checkpoint.Position
	values   map[string]*tensor.Tensor // by name; includes the backbone's
	images   *dataset.Set              // training images
}

// load reads the run and finds its images, before any computation.
func (e *export) load(ctx context.Context) error {
	c, err := e.checkpoint()
	if err != nil {
		return err
	}
	if err := json.Unmarshal(c.Config, &e.config); err != nil {
		return fmt.Errorf("read the settings of %s: %w", e.run, err)
	}
	if err := e.config.Validate(); err != nil {
		return fmt.Errorf("settings of %s: %w", e.run, err)
	}
	e.position, e.values = c.Position, c.Tensors
	if e.untrained {
		e.position = checkpoint.Position{Seed: e.config.Seed}
		if e.values, err = firstWeights(&e.config); err != nil {
			return err
		}
	}
	if err := e.findImages(ctx); err != nil {
		return err
	}
	return e.place()
}

// checkpoint reads the newest checkpoint of the run, or the one that RUN names.
func (e *export) checkpoint() (*checkpoint.Checkpoint, error) {
	if path := checkpointFile(e.run); path != "" {
		e.run, e.file = filepath.Dir(path), path
		c, err := checkpoint.Load(path)
		if err != nil && !checkpoint.IsName(filepath.Base(path)) {
			err = usage.Errorf("%w; RUN is the --out folder of vicreg train, or a checkpoint in it", err)
		}
		return c, err
	}
	c, warnings, err := checkpoint.Latest(e.run)
	for _, w := range warnings {
		fmt.Fprintln(e.stderr, "vicreg export:", w)
	}
	if errors.Is(err, checkpoint.ErrNone) {
		return nil, noCheckpoint(e.run, len(warnings), "RUN is the --out folder of vicreg train")
	}
	return c, err
}

// checkpointFile returns the file if run is a checkpoint, possibly without its extension, and not
// the folder of a run; else "".
func checkpointFile(run string) string {
	for _, path := range []string{run, run + ".safetensors"} {
		info, err := os.Stat(path)
		if err == nil && !info.IsDir() {
			return path
		}
		if err == nil {
			break
		}
	}
	return ""
}

// noCheckpoint is the error of a folder that has no checkpoint, or only skipped ones, which cannot
// be read; hint goes with the former.
func noCheckpoint(run string, skipped int, hint string) error {
	switch skipped {
	case 0:
		return usage.Errorf("no checkpoint in %s: %s", run, hint)
	case 1:
		return usage.Errorf("the only checkpoint in %s cannot be read: put back a good copy of it", run)
	}
	return usage.Errorf("none of the %d checkpoints in %s can be read: put back a good copy of one", skipped, run)
}

// firstWeights returns the backbone's parameters and running statistics at the start of a run: the
// statistics have mean 0 and variance 1 unless --init supplied others.
func firstWeights(c *Config) (map[string]*tensor.Tensor, error) {
	a, err := models.Represent(c.graphs(0))
	if err != nil {
		return nil, err
	}
	values := a.InitialState(c.Seed)
	if c.Init != "" {
		_, err = importWeights(c.Init, a, values)
	}
	return values, err
}

func (e *export) findImages(ctx context.Context) error {
	dir := e.config.Data
	if e.data != "" {
		dir = e.data
	}
	all, err := dataset.Open(ctx, dir, dataset.Options{})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && e.data == "" {
		return usage.Errorf("%w; the run was trained on that folder: if it has moved, give the new place with --data DIR", err)
	}
	if err != nil {
		return &usage.Error{Err: err}
	}
	if e.images, _, _ = e.config.split(all); e.images.Len() == 0 {
		return usage.Errorf("all %d images in %s are held out", all.Len(), dir)
	}
	if e.images.Fingerprint() != e.config.DataSet {
		fmt.Fprintf(e.stderr, "vicreg export: the data has changed: the run was trained on %d images, and %s now has %d; the mean is over these\n",
			e.config.Images, dir, e.images.Len())
	}
	return nil
}

// place decides where the file goes; it may replace an older export.
func (e *export) place() error {
	if e.out == "" {
		name := "backbone"
		switch {
		case e.untrained:
			name = "untrained"
		case e.file != "": // backbone.onnx is that of the newest
			name += fmt.Sprintf("-%d", e.position.Step)
		}
		if e.int8 {
			name += "-int8"
		}
		e.out = filepath.Join(e.run, name+".onnx")
	}
	spared, err := runFiles(e.run)
	if err != nil {
		return err
	}
	if err := checkOutput("-o", e.out, true, append(spared, e.config.Init, e.file)...); err != nil {
		return err
	}
	return spareImages("-o", e.out, e.images)
}

// write builds the model, verifies it, completes its metadata and writes the file.
func (e *export) write(ctx context.Context, stdout io.Writer) error {
	model, metadata, err := e.freeze()
	if err != nil {
		return err
	}
	r, err := e.prove(ctx, model, metadata)
	if err != nil {
		return err
	}
	if err := metadata.Attach(r.model); err != nil {
		return err
	}
	file, err := encoder.Marshal(r.model)
	if err != nil {
		return err
	}
	if err := whole.WriteFile(e.out, file); err != nil {
		return err
	}
	if whole.Direct(e.out) { // e.out may be stdout
		stdout = e.stderr
	}
	size := e.config.Size
	fmt.Fprintf(stdout, "model       %s, %.1f MB, %s\n", e.out, float64(len(file))/1e6, e.state())
	fmt.Fprintf(stdout, "vectors     %s; %s %d x %d pixels\n", usage.Count(metadata.Dim, "number"), fitting(metadata.Preprocess), size, size)
	fmt.Fprintf(stdout, "fingerprint %s\n", r.fingerprint)
	fmt.Fprintf(stdout, "parity      %s differs from the training graph by %.1e on %s (at most %g)\n", e.compared(), r.apart, usage.Count(r.compared, "image"), e.limit())
	if q := r.int8; q != nil {
		fmt.Fprintf(stdout, "int8        mean cosine to float32 %.4f (worst %.4f), centred, on %d %s images; same nearest image for %.0f %%\n",
			q.mean, q.worst, q.compared, q.which, 100*q.sameNearest)
	}
	fmt.Fprintf(stdout, "mean        over %d of %s\n", r.averaged, usage.Count(e.images.Len(), "training image"))
	return nil
}

// fitting says how images become the square input.
func fitting(p imaging.Preprocess) string {
	switch p.Fit {
	case imaging.FitPad:
		return "images are padded with " + p.Fill.String() + " to"
	case imaging.FitSquash:
		return "images are squashed to"
	}
	return "images are cropped to"
}

// compared names the model that was compared: with --int8, not the one written.
func (e *export) compared() string {
	if e.int8 {
		return "float32 model"
	}
	return "model"
}

func (e *export) state() string {
	if e.position.Step == 0 {
		return e.config.Model + ", untrained"
	}
	return fmt.Sprintf("%s after step %d", e.config.Model, e.position.Step)
}

// settings returns the run's settings without what depends on the machine, so that runs that differ
// only in that export identical files.
func (e *export) settings() (json.RawMessage, error) {
	c := e.config
	c.Data = ""
	if c.Init != "" {
		c.Init = filepath.Base(c.Init)
	}
	return json.Marshal(c)
}

// freeze builds the model with its metadata, except for the mean vector.
func (e *export) freeze() (*onnx.ModelProto, *encoder.Metadata, error) {
	c := e.config.graphs(0)
	g, err := models.Export(c, e.values)
	if err != nil {
		return nil, nil, fmt.Errorf("freeze the backbone of %s: %w", e.run, err)
	}
	model, err := g.Model()
	if err != nil {
		return nil, nil, err
	}
	settings, err := e.settings()
	if err != nil {
		return nil, nil, err
	}
	version, _ := built(debug.ReadBuildInfo())
	normalization := encoder.Normalization{Mean: c.Mean, Std: c.Std}
	metadata := &encoder.Metadata{
		Preprocess:    encoder.Fitted(e.config.Preprocess(), e.fit, normalization),
		Normalization: normalization,
		Dim:           c.Backbone.Dim(),
		Center:        make([]float32, c.Backbone.Dim()),
		Training: encoder.Training{
			Model: e.config.Model, Stem: e.config.Stem, Width: e.config.Width, ImageSize: e.config.Size,
			Images: e.config.Images, Data: e.config.DataSet,
			Epochs: e.position.Epoch, Steps: e.position.Step, Seed: e.config.Seed,
			Recipe: e.config.Recipe.Name, Optimizer: e.config.Optimizer.Name, Version: version, Settings: settings,
		},
	}
	return model, metadata, metadata.Attach(model)
}
