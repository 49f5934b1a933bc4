package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"vicreg/models"
	"vicreg/models/optim"
	"vicreg/models/ort"
	"vicreg/models/tensor"
)

// serveSteps is our side: it builds the step of a setup given as JSON and
// answers on standard output.
func serveSteps(arg string, threads int, kernels string) error {
	var s struct {
		Model, Stem, Expander string
		Width, Size, Batch    int
	}
	if err := json.Unmarshal([]byte(arg), &s); err != nil {
		return err
	}
	path, err := ort.Find("")
	if err != nil {
		return err
	}
	lib, err := ort.Open(path)
	if err != nil {
		return err
	}
	c := models.Config{Loss: models.Loss{Invariance: 25, Variance: 25, Covariance: 1}, Batch: s.Batch, Size: s.Size,
		Mean: [3]float64{0.4914, 0.4822, 0.4465}, Std: [3]float64{0.2470, 0.2435, 0.2616}}
	if c.Backbone, err = models.NewResNet(s.Model, s.Stem, s.Width); err != nil {
		return err
	}
	c.Expander.Activation = "relu"
	for w := range strings.SplitSeq(s.Expander, "-") {
		n, err := strconv.Atoi(w)
		if err != nil {
			return err
		}
		c.Expander.Widths = append(c.Expander.Widths, n)
	}
	if c.Optimizer, err = optim.Default("sgd"); err != nil {
		return err
	}
	if kernels == "auto" {
		if c.Block, err = ort.BlockSize(lib); err != nil {
			return err
		}
	}
	st, err := newStepper(lib, c, threads)
	if err != nil {
		return err
	}
	fmt.Printf("{\"block\": %d}\n", c.Block)
	return answer(st, newBatch(c))
}

func newStepper(lib *ort.Runtime, c models.Config, threads int) (*ort.Stepper, error) {
	a, err := models.Step(c)
	if err != nil {
		return nil, err
	}
	model, err := a.Graph.Marshal()
	if err != nil {
		return nil, err
	}
	session, err := lib.NewSession(model, ort.Options{Threads: threads, Spin: true, ProfilePrefix: os.Getenv("VICREG_PROFILE")})
	if err != nil {
		return nil, err
	}
	var state []ort.Variable
	for _, v := range a.State {
		state = append(state, ort.Variable{In: v.In, Out: v.Out})
	}
	st, err := ort.NewStepper(session, ort.StepperConfig{State: state})
	if err != nil {
		return nil, err
	}
	err = st.Restore(a.InitialState(1))
	debug.FreeOSMemory() // as vicreg train does
	return st, err
}

// newBatch is a batch of noise at a low learning rate: what is in the images
// does not change the time of a step.
func newBatch(c models.Config) tensor.Batch {
	r := rand.New(rand.NewPCG(1, 2))
	b := tensor.Batch{models.Rate: tensor.Of([]float32{0.01}), models.LossScale: tensor.Of([]float32{1})}
	for _, view := range []string{models.View1, models.View2} {
		b[view] = tensor.New(tensor.Uint8, c.Batch, c.Size, c.Size, 3)
		for i := range b[view].Data.([]uint8) {
			b[view].Data.([]uint8)[i] = uint8(r.Uint32())
		}
	}
	return b
}

func answer(st *ort.Stepper, batch tensor.Batch) error {
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		switch in.Text() {
		case "step":
			begin := time.Now()
			scalars, err := st.Step(batch)
			if err != nil {
				return err
			}
			st.Accept()
			fmt.Printf("{\"ms\": %.3f, \"loss\": %g}\n", float64(time.Since(begin).Microseconds())/1000, scalars["loss"])
		case "mem":
			bytes, err := peakMemory()
			if err != nil {
				return err
			}
			fmt.Printf("{\"bytes\": %d}\n", bytes)
		}
	}
	return nil
}

// peakMemory is the largest resident size of this process so far, in bytes.
func peakMemory() (int64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.SplitSeq(string(status), "\n") {
		if kb, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(kb), " kB"), 10, 64)
			return n * 1024, err
		}
	}
	return 0, fmt.Errorf("no VmHWM in /proc/self/status")
}
