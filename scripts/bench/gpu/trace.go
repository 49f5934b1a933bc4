package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"vicreg/scripts/bench/steps"
)

// node is one execution of a graph node, from ONNX Runtime's profile.
type node struct {
	Name, Op, Provider string
	Ms                 float64
	Written            float64 // bytes
	InUse              float64 // bytes of the arena in use after it
	In, Out            []shape
}

// shape is a tensor's element type and dimensions.
type shape struct {
	Type string
	Dims []int
}

// event is an entry of the profile file.
type event struct {
	Cat, Name string
	Ts, Dur   float64 // microseconds
	Args      struct {
		Op       string             `json:"op_name"`
		Provider string             `json:"provider"`
		Written  string             `json:"output_size"`
		InUse    string             `json:"mem_bytes_in_use"`
		In       []map[string][]int `json:"input_type_shape"`
		Out      []map[string][]int `json:"output_type_shape"`
	}
}

// trace holds the nodes of the last runs of a session, and the time of a run.
type trace struct {
	nodes []node
	runs  int
	ms    float64 // per run
}

// profileStep runs the step of a setup a few times under the runtime's profiler and returns the
// last runs. With asynchronous launches, the time of a node on a device is that of its launch.
func (b *bench) profileStep(s steps.Setup, warm, runs int) (*trace, error) {
	s.Capture = false // otherwise the profiler would see a single launch
	s.Profile = filepath.Join(b.work, "profile-"+s.Name)
	if err := b.discard(s.Profile); err != nil {
		return nil, err
	}
	r, err := steps.Open(s)
	if err != nil {
		return nil, err
	}
	batch, err := r.Noise()
	for i := 0; i < warm+runs && err == nil; i++ {
		r.Set(batch, 0.01)
		_, err = r.Step(batch)
		r.Reject() // the contents of the state do not affect the time of a step
	}
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	return b.readProfile(s.Profile, warm)
}

// discard removes earlier profiles.
func (b *bench) discard(prefix string) error {
	old, err := filepath.Glob(prefix + "_*.json")
	for _, path := range old {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

// readProfile reads the single profile with a prefix, without the warm-up runs, and removes it: it
// may take hundreds of megabytes.
func (b *bench) readProfile(prefix string, warm int) (*trace, error) {
	paths, err := filepath.Glob(prefix + "_*.json")
	if err != nil || len(paths) != 1 {
		return nil, fmt.Errorf("%d profiles at %s", len(paths), prefix)
	}
	f, err := os.Open(paths[0])
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var events []event
	if err := json.NewDecoder(f).Decode(&events); err != nil {
		return nil, fmt.Errorf("read profile %s: %w", paths[0], err)
	}
	t, err := readTrace(events, warm)
	if err != nil {
		return nil, fmt.Errorf("profile %s: %w", paths[0], err)
	}
	return t, os.Remove(paths[0])
}

// readTrace keeps the nodes of all runs after the warm-up ones.
func readTrace(events []event, warm int) (*trace, error) {
	t := &trace{}
	from, seen := 0.0, 0
	for _, e := range events {
		if e.Name != "model_run" {
			continue
		}
		if seen++; seen <= warm {
			from = max(from, e.Ts+e.Dur)
			continue
		}
		t.runs++
		t.ms += e.Dur / 1000
	}
	if t.runs == 0 {
		return nil, fmt.Errorf("%d runs, of which %d are to warm up", seen, warm)
	}
	t.ms /= float64(t.runs)
	for _, e := range events {
		if e.Cat != "Node" || e.Ts < from || !strings.HasSuffix(e.Name, kernelTime) {
			continue
		}
		written, _ := strconv.ParseFloat(e.Args.Written, 64) // missing for a node without outputs
		inUse, _ := strconv.ParseFloat(e.Args.InUse, 64)     // or unknown
		t.nodes = append(t.nodes, node{InUse: inUse, Name: strings.TrimSuffix(e.Name, kernelTime), Op: e.Args.Op,
			Provider: strings.TrimSuffix(e.Args.Provider, "ExecutionProvider"), Ms: e.Dur / 1000, Written: written,
			In: shapes(e.Args.In), Out: shapes(e.Args.Out)})
	}
	return t, nil
}

// kernelTime is the suffix of a node event's name.
const kernelTime = "_kernel_time"

func shapes(list []map[string][]int) (all []shape) {
	for _, m := range list {
		for t, dims := range m {
			all = append(all, shape{t, dims})
		}
	}
	return all
}

func (s shape) elements() float64 {
	n := 1.0
	for _, d := range s.Dims {
		n *= float64(d)
	}
	return n
}

// sizes are the bytes per element by type name in the profile; 4 if not listed.
var sizes = map[string]float64{"float16": 2, "bfloat16": 2, "uint8": 1, "int8": 1, "bool": 1, "int64": 8, "double": 8}

func (s shape) bytes() float64 {
	if size, ok := sizes[s.Type]; ok {
		return size * s.elements()
	}
	return 4 * s.elements()
}

func (s shape) String() string {
	short := map[string]string{"float": "f32", "float16": "f16", "bfloat16": "bf16", "int64": "i64", "uint8": "u8"}[s.Type]
	if short == "" {
		short = s.Type
	}
	return short + strings.ReplaceAll(fmt.Sprint(s.Dims), " ", "x")
}
