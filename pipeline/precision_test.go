package pipeline

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/ort/standin"
	"vicreg/models/tensor"
	"vicreg/pipeline/bulk"
	"vicreg/pipeline/checkpoint"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/usage"
)

var cuda = ort.Device{Kind: tensor.CUDA}

// on returns a machine with a device.
func on(d ort.Device) machine {
	return machine{Machine: bulk.Machine{RuntimeFlags: encoder.RuntimeFlags{Device: d}, Threads: 3}, kernels: "auto"}
}

// A run resumes in its precision if the device supports that, and in another if requested or
// unavoidable.
func TestThePrecisionThatARunGoesOnIn(t *testing.T) {
	host, gpu, portable := on(ort.Device{}), on(cuda), on(cuda)
	portable.kernels = "portable"
	for _, c := range []struct {
		before, asked precision
		on            machine
		now           precision
		why           string
	}{
		{"", "", host, fp32, ""},
		{"", "", gpu, fp32, ""}, // a checkpoint that predates the choice
		{fp32, "", gpu, fp32, ""},
		{fp32, fp16, gpu, fp16, "the run used fp32 and continues in fp16"},
		{fp16, "", gpu, fp16, ""},
		{fp16, fp16, gpu, fp16, ""},
		{fp16, "", host, fp32, "the run used fp16 and continues in fp32"},
		{bf16, "", gpu, bf16, ""},
		{fp16, bf16, gpu, bf16, "the run used fp16 and continues in bf16"},
		{bf16, "", host, fp32, "the run used bf16 and continues in fp32"},
		{tf32, "", host, fp32, "the run used tf32 and continues in fp32"},
		{tf32, fp32, gpu, fp32, "the run used tf32 and continues in fp32"},
		{"fp8", "", gpu, tf32, "the run used fp8 and continues in tf32"},
		{bf16, "", portable, tf32, "the run used bf16 and continues in tf32"},
	} {
		if now, why := goOn(c.before, c.asked, &c.on); now != c.now || why != c.why {
			t.Errorf("%q, asked %q, on %v: %s (%s), want %s (%s)", c.before, c.asked, c.on.Device, now, why, c.now, c.why)
		}
	}
	if usual(ort.Device{}) != fp32 || usual(cuda) != tf32 {
		t.Errorf("usually %s and %s", usual(ort.Device{}), usual(cuda))
	}
}

func TestWhatADeviceTrainsIn(t *testing.T) {
	for _, p := range []precision{"", fp32, tf32, fp16, bf16} {
		m := on(cuda)
		if m.precision = p; m.validate() != nil {
			t.Errorf("%q on %v: %v", p, cuda, m.validate())
		}
	}
	for want, m := range map[string]machine{
		"--kernels nchwc is for the CPU, not for --device cuda":                          {kernels: "nchwc"},
		"--precision bf16 needs vicreg's own kernels: --kernels portable lacks bfloat16": {kernels: "portable", precision: bf16},
	} {
		m.Machine = on(cuda).Machine
		var wrong *usage.Error
		if err := m.validate(); !errors.As(err, &wrong) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if block, err := on(cuda).block(nil); block != 0 || err != nil {
		t.Errorf("kernels on CUDA: blocks of %d, %v", block, err)
	}
}

// An old GPU does not support bfloat16.
func TestThePrecisionOfAnOldDevice(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	lib := orttest.Open(t)
	if err := bf16.suits(cuda); err != nil {
		t.Error(err)
	}
	t.Setenv(standin.EnvCapability, "7")
	if err := fp16.suits(cuda); err != nil {
		t.Error(err)
	}
	var wrong *usage.Error
	const want = "--precision bf16 needs a GPU of compute capability 8.0 or higher, but cuda has 7.0: use another --precision"
	flags := &trainFlags{machine: on(cuda)}
	flags.Precision = bf16
	if _, err := newRun(lib, flags, nil, nil); !errors.As(err, &wrong) || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// Sessions differ only in what their precision requires.
func TestTheSessionOfAStep(t *testing.T) {
	for p, want := range map[precision]struct {
		compute tensor.DType
		tf32    bool
		text    string
	}{
		fp32: {0, false, "fp32"},
		tf32: {0, true, "tf32"},
		fp16: {tensor.Float16, false, "fp16 with a loss scale of 256"},
		bf16: {tensor.BFloat16, false, "bf16"},
	} {
		r := &run{trainFlags: &trainFlags{machine: on(cuda)}}
		r.Precision = p
		if got := (ort.Options{Device: cuda, TF32: want.tf32, FuseBias: true, Threads: 3}); r.options() != got || p.compute() != want.compute || p.describe(256) != want.text {
			t.Errorf("%s: %+v, activations of %v, %q", p, r.options(), p.compute(), p.describe(256))
		}
	}
	r := &run{trainFlags: &trainFlags{machine: on(ort.Device{})}}
	if r.Precision = fp32; r.options() != (ort.Options{Threads: 3, Spin: true}) {
		t.Errorf("on the CPU: %+v", r.options())
	}
}

// A run from a GPU resumes without one in float32, without its loss scale, and says so once; one
// that predates the choice resumes unchanged.
func TestAFloat16RunGoesOnOnTheCPU(t *testing.T) {
	out := t.TempDir()
	if _, err := train(t, t.Context(), "--data", writeImages(t, 28), "--out", out, "--time-limit", "1ns"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from   precision
		line   string
		scale  float64
		steady int
	}{
		{fp16, "vicreg train: the run used fp16 and continues in fp32\n", 512, 9},
		{"", "", 1, 0},
	} {
		point := latest(t, out)
		var config Config
		if err := json.Unmarshal(point.Config, &config); err != nil {
			t.Fatal(err)
		}
		if config.Precision != fp32 {
			t.Errorf("saved as %q", config.Precision)
		}
		config.Precision, point.Position.LossScale, point.Position.Steady = c.from, c.scale, c.steady
		var err error
		if point.Config, err = json.Marshal(config); err != nil {
			t.Fatal(err)
		}
		if _, err := checkpoint.Save(out, point); err != nil {
			t.Fatal(err)
		}
		printed, err := train(t, t.Context(), "--out", out, "--resume", "--time-limit", "1ns")
		if err != nil {
			t.Fatal(err)
		}
		if said := strings.Contains(printed, "the run used"); said != (c.line != "") || !strings.Contains(printed, c.line) {
			t.Errorf("from %q, printed\n%s", c.from, printed)
		}
		if p := latest(t, out).Position; p.LossScale != 1 || p.Steady != 0 || p.Step != point.Position.Step+1 {
			t.Errorf("from %q at %+v, saved at %+v", c.from, point.Position, p)
		}
	}
}
