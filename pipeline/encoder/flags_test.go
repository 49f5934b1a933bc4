package encoder_test

import (
	"errors"
	"flag"
	"io"
	"slices"
	"strings"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/onnx"
	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
	"vicreg/pipeline/usage"
)

// parse parses a command line consisting only of these flags.
func parse(t *testing.T, line string) (*encoder.Flags, error) {
	t.Helper()
	f, fs := new(encoder.Flags), flag.NewFlagSet("test", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	f.Register(fs)
	return f, usage.Parse(fs, strings.Fields(line))
}

const asTrained = "--foreign --resize 18 --crop 16 --mean .485,.456,.406 --std .229,.224,.225"

func TestFlagsOpenForeign(t *testing.T) {
	f, err := parse(t, asTrained)
	if err != nil || f.Validate() != nil {
		t.Fatal(err, f.Validate())
	}
	e, err := f.Open(orttest.Open(t), keep(t, "resnet50", marshal(t, plainForeign(t))), ort.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if md := e.Metadata(); md.Training.Model != "resnet50.onnx" || md.Preprocess != how().Preprocess {
		t.Errorf("metadata %+v", md)
	}
	compare(t, e, own(t, imagenet), 1e-5)
}

// A single number applies to all channels, and a vicreg model needs no flag.
func TestFlagsOpen(t *testing.T) {
	for line, model := range map[string]*onnx.ModelProto{"": averager(t, 16),
		"--foreign --crop 16 --mean 0 --std 0.003921568627450980": averagerOf255(t)} {
		f, err := parse(t, line)
		if err != nil {
			t.Fatal(err)
		}
		e, err := f.Open(orttest.Open(t), keep(t, "model", marshal(t, model)), ort.Options{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		y, err := e.Encode(t.Context(), slices.Repeat([]uint8{10, 20, 200}, 16*16), 1)
		if err != nil || !slices.Equal(y, []float32{10, 20, 200}) {
			t.Errorf("%q: got %v, %v", line, y, err)
		}
	}
}

func TestFlagsFit(t *testing.T) {
	const plain = "--foreign --crop 16 --mean .485,.456,.406 --std .229,.224,.225 "
	for line, want := range map[string]imaging.Preprocess{
		"":             {},
		"--fit crop":   {},
		"--fit squash": {Fit: imaging.FitSquash},
		"--fit pad":    {Fit: imaging.FitPad, Fill: imaging.Background{Set: true, R: 124, G: 116, B: 104}},
		"--fit pad --background #fffffe": {Fit: imaging.FitPad, Fill: imaging.Background{Set: true, R: 255, G: 255, B: 254},
			Conversion: imaging.Conversion{Background: imaging.Background{Set: true, R: 255, G: 255, B: 254}}},
	} {
		f, err := parse(t, plain+line)
		if err != nil || f.Validate() != nil {
			t.Fatal(err, f.Validate())
		}
		e, err := f.Open(orttest.Open(t), keep(t, "m", marshal(t, plainForeign(t))), ort.Options{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		want.Crop, want.Interpolation = 16, "bilinear"
		if md := e.Metadata(); md.Preprocess != want {
			t.Errorf("%q: %+v", line, md.Preprocess)
		}
	}
}

func TestFlagsRefuse(t *testing.T) {
	ours, theirs := keep(t, "ours", marshal(t, averager(t, 16))), keep(t, "theirs", marshal(t, plainForeign(t)))
	for _, c := range []struct {
		path, line, want string
		usage            bool // an error whatever the model
	}{
		{theirs, "", "not a vicreg model; for other models give --foreign with --crop, --mean and --std", false},
		{ours, asTrained, "it is a vicreg model, which stores its own preprocessing", false},
		{ours, "--resize 18", "--resize requires --foreign", true},
		{ours, "--levels auto", "--levels requires --foreign", true},
		{theirs, asTrained + " --levels 5", `invalid value "5" for --levels: want full, auto, or LOW:HIGH`, true},
		{ours, "--background #ffffff", "--background requires --foreign", true},
		{theirs, asTrained + " --background white", `invalid value "white" for --background: want a colour as #rrggbb`, true},
		{ours, "--fit pad", "--fit requires --foreign", true},
		{theirs, asTrained + " --fit border", `invalid value "border" for --fit: want crop, pad or squash`, true},
		{theirs, asTrained + " --fit pad", "--foreign: --resize is for --fit crop: with pad, the whole picture is scaled to --crop", true},
		{ours, "--layout nchw", "--layout requires --foreign", true},
		{theirs, "--foreign --mean 0 --std 1", "--foreign: --crop pixels is missing", true},
		{theirs, "--foreign --crop 16 --std 1", "--foreign: --mean R,G,B is missing", true},
		{theirs, asTrained + " --resize 15", "--foreign: --resize 15 is less than --crop 16", true},
		{theirs, asTrained + " --mean 124,116,104", "--foreign: mean 124: want the mean of pixels scaled to 0–1", true},
		{theirs, asTrained + " --mean .5,.5", `invalid value ".5,.5" for --mean: want one number, or three separated by commas`, true},
		{theirs, asTrained + " --std .2,.2,x", `invalid value ".2,.2,x" for --std: "x" is not a number`, true},
		{theirs, asTrained + " --output pooled", `no output is named "pooled"; available: features`, false},
	} {
		f, err := parse(t, c.line)
		if err == nil {
			err = f.Validate()
		}
		var wrong *usage.Error
		if errors.As(err, &wrong) != c.usage {
			t.Errorf("%q: before the model is opened: %v", c.line, err)
		}
		if err == nil {
			_, err = f.Open(orttest.Open(t), c.path, ort.Options{})
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %q", c.line, err, c.want)
		}
	}
}

// averagerOf255 is averager as a foreign model.
func averagerOf255(t *testing.T) *onnx.ModelProto {
	t.Helper()
	return made(t, func(g *graph.Graph) {
		g.Output("mean", g.ReduceMean(g.Input("image", tensor.Float32, graph.Batch, 3, side, side), false, 2, 3))
	})
}
