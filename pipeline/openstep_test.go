package pipeline

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"vicreg/models"
	"vicreg/models/graph"
	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
)

// On a CUDA device a step runs there from end to end in every precision, and is captured: the
// runtime refuses that for a graph with any transfers.
func TestAStepStaysOnTheDevice(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	lib := orttest.Open(t)
	for _, p := range []precision{fp32, tf32, fp16, bf16} {
		for _, kernels := range []string{"auto", "portable"} {
			if p != bf16 || kernels == "auto" {
				stays(t, deviceRun(t, lib, p, kernels))
			}
		}
	}
	for _, kernels := range []string{"auto", "portable"} {
		r := deviceRun(t, lib, fp16, kernels)
		r.Optimizer.ClipNorm = 1
		var err error
		if r.artifact, err = models.Step(r.stepConfig()); err != nil {
			t.Fatal(err)
		}
		stays(t, r)
	}
	r := deviceRun(t, lib, bf16, "auto") // uses the fewest of the runtime's own kernels
	r.Model, r.Stem, r.Size = "resnet50", "imagenet", 64
	var err error
	if r.artifact, err = models.Step(r.stepConfig()); err != nil {
		t.Fatal(err)
	}
	stays(t, r)
}

func stays(t *testing.T, r *run) {
	t.Helper()
	p, own := r.Precision, 0
	if err := r.openStep(); err != nil || r.slow != "" {
		t.Fatalf("%s: %v, %s", p, err, r.slow)
	}
	placed, err := r.session.Placement()
	if err != nil {
		t.Fatal(err)
	}
	nodes := 0
	for _, p := range placed {
		nodes += p.Nodes
		if strings.HasPrefix(p.Operator, graph.DomainCUDA) {
			own += p.Nodes
		}
	}
	if nodes < 300 || (own > 0) != (r.machine.kernels == "auto") {
		t.Errorf("%s, %s kernels: %d nodes, %d of vicreg's own", p, r.machine.kernels, nodes, own)
	}
	t.Logf("%s, %s kernels: %d nodes, %d of vicreg's own", p, r.machine.kernels, nodes, own)
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// deviceRun returns a run on a CUDA device with its graphs built.
func deviceRun(t *testing.T, lib *ort.Runtime, p precision, kernels string) *run {
	t.Helper()
	r := &run{trainFlags: &trainFlags{machine: on(ort.Device{Kind: tensor.CUDA})}, lib: lib}
	r.machine.capture, r.machine.kernels = true, kernels
	r.Model, r.Stem, r.Width, r.Size, r.Expander, r.Batch, r.Precision = "resnet18", "cifar", 16, 32, []int{32, 32, 32}, 8, p
	r.Optimizer.Name = "lars"
	var err error
	if r.artifact, err = models.Step(r.stepConfig()); err != nil {
		t.Fatal(err)
	}
	return r
}

// The first step captures the launches, and the run continues without if that fails.
func TestAStepThatCannotBeCaptured(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	lib := orttest.Open(t)
	for _, legal := range []string{"1", "0"} {
		t.Setenv("VICREG_STANDIN_CAPTURE", legal)
		r := deviceRun(t, lib, fp32, "auto")
		r.Width, r.Size, r.Expander, r.Batch = 1, 8, []int{4, 4}, 2
		var err error
		if r.artifact, err = models.Step(r.stepConfig()); err != nil {
			t.Fatal(err)
		}
		if err := r.openStep(); err != nil || !r.capturing {
			t.Fatalf("%v, captured: %v", err, r.capturing)
		}
		if err := r.begin(r.artifact.InitialState(1), io.Discard); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(r.chosen, "chosen for ") || !strings.Contains(r.chosen, " gradient, ") && !strings.Contains(r.chosen, "(convolution, ") {
			t.Errorf("kernels %q", r.chosen)
		}
		if r.capturing != (legal == "1") || strings.HasPrefix(r.slow, "steps are not captured as a CUDA graph: ") != (legal == "0") {
			t.Errorf("capture legal: %s; captured: %v, %q", legal, r.capturing, r.slow)
		}
		if state, err := r.state.Snapshot(); err != nil || len(state) != len(r.artifact.State) {
			t.Errorf("%d tensors (%v)", len(state), err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Processes communicate via the host, without capture; everything else of a step stays on the
// device.
func TestGroupOnADevice(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	joined := orttest.Group(t, 2)
	if joined == nil {
		return
	}
	lib := orttest.Open(t)
	r := deviceRun(t, lib, fp16, "auto")
	r.Width, r.Size, r.Expander, r.Batch = 1, 8, []int{4, 4}, 4
	r.joined = joined
	var err error
	if r.artifact, err = models.Step(r.stepConfig()); err != nil {
		t.Fatal(err)
	}
	if err := r.openStep(); err != nil || r.slow != "" || r.capturing {
		t.Fatalf("%v, slow: %q, captured: %v", err, r.slow, r.capturing)
	}
	defer r.Close()
	placed, err := r.session.Placement()
	if err != nil {
		t.Fatal(err)
	}
	exchanged := 0
	for _, p := range placed {
		if strings.HasPrefix(p.Operator, graph.DomainCollectives) {
			exchanged += p.Nodes
		}
	}
	if exchanged != 2 { // one for embeddings, one for gradients and statistics
		t.Errorf("%d nodes exchange", exchanged)
	}
	if err := r.begin(r.artifact.InitialState(1), io.Discard); err != nil {
		t.Error(err)
	}
}

func TestFullDevice(t *testing.T) {
	full := errors.New("step: Non-zero status code: Failed to allocate memory for requested buffer of size 123")
	for _, c := range []struct {
		on   ort.Device
		err  error
		told bool
	}{{ort.Device{Kind: tensor.CUDA}, full, true}, {ort.Device{}, full, false}, {ort.Device{Kind: tensor.CUDA}, errors.New("step: else"), false}} {
		r := &run{trainFlags: &trainFlags{machine: on(c.on)}}
		got := r.explained(c.err)
		if told := strings.Contains(got.Error(), "the memory of cuda is full: choose a smaller --batch"); told != c.told || !errors.Is(got, c.err) {
			t.Errorf("%v: %v becomes %v", c.on, c.err, got)
		}
	}
}

// What does not work is dropped in turn: capture, then our own operators unless they were
// requested. A full device memory is reported as such.
func TestTheFirstStepFindsWhatRuns(t *testing.T) {
	const noCapture, noOperators, full = "capture", "operators", "step: Failed to allocate memory"
	for _, c := range []struct {
		name, kernels string
		in            precision
		fails         func(captured, operators bool) string
		opened        int
		kernelsAfter  string
		slow, err     string
	}{
		{"all runs", "auto", fp32, func(bool, bool) string { return "" }, 1, "auto", "", ""},
		{"no capture", "auto", fp32, func(captured, _ bool) string { return map[bool]string{true: noCapture}[captured] }, 2, "auto", "not captured as a CUDA graph: capture", ""},
		{"no operators", "auto", fp32, func(_, operators bool) string { return map[bool]string{true: noOperators}[operators] }, 3, "portable", "vicreg's own operators do not run here; using the portable kernels: operators", ""},
		{"no operators in bf16", "auto", bf16, func(_, operators bool) string { return map[bool]string{true: noOperators}[operators] }, 2, "auto", "", "--precision bf16 needs vicreg's own kernels"},
		{"operators asked for", "cudnn", fp32, func(_, operators bool) string { return map[bool]string{true: noOperators}[operators] }, 2, "cudnn", "", noOperators},
		{"nothing runs", "auto", fp32, func(bool, bool) string { return noOperators }, 4, "portable", "", noOperators},
		{"full", "auto", fp32, func(bool, bool) string { return full }, 1, "auto", "", "the memory of cuda is full"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := deviceRun(t, nil, c.in, c.kernels)
			opened := 0
			r.opening = func(o ort.Options) error {
				opened++
				f := &fakeStepper{finite: func(int) bool { return true }}
				if why := c.fails(o.Capture, r.machine.kernels != "portable"); why != "" {
					f.fails = errors.New(why)
				}
				r.state, r.capturing = f, o.Capture
				return nil
			}
			if err := r.openStep(); err != nil {
				t.Fatal(err)
			}
			var said bytes.Buffer
			err := r.begin(nil, &said)
			if said.String() != "vicreg train: selecting kernels on cuda, which takes some seconds\n" {
				t.Errorf("it said %q", &said)
			}
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("%v, want %q", err, c.err)
			}
			if opened != c.opened || r.machine.kernels != c.kernelsAfter {
				t.Errorf("opened %d times, want %d; %s kernels, want %s", opened, c.opened, r.machine.kernels, c.kernelsAfter)
			}
			if err == nil && (!strings.Contains(r.slow, c.slow) || c.slow == "" && r.slow != "") {
				t.Errorf("%q, want %q", r.slow, c.slow)
			}
		})
	}
}

// On the host nothing is searched for or printed.
func TestTheHostBeginsInSilence(t *testing.T) {
	r := &run{trainFlags: &trainFlags{machine: on(ort.Device{})}, state: &fakeStepper{}}
	var said bytes.Buffer
	if err := r.begin(nil, &said); err != nil || said.Len() > 0 {
		t.Errorf("%v, it said %q", err, &said)
	}
}
