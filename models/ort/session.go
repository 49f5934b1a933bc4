package ort

/*
#include <stdlib.h>
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"unsafe"

	onnxruntime "github.com/yalue/onnxruntime_go"

	"vicreg/models/tensor"
)

// Session is a loaded model. Inputs, Outputs, Metadata and Run may be called concurrently; Close
// only when none of them runs.
type Session struct {
	dynamic *onnxruntime.DynamicAdvancedSession
	session handle
	device  Device
	capture bool
	thread  *thread // the thread it lives on; nil on the host
	buffers buffers
	in, out []tensor.Spec
	names   map[string]*C.char
}

// NewSession loads a model, the bytes of an ONNX file with its weights inside. The caller closes
// the session; the bytes may be reused once NewSession returns.
func (r *Runtime) NewSession(model []byte, opt Options) (*Session, error) {
	s := &Session{device: opt.Device, capture: opt.Capture, names: map[string]*C.char{}}
	err := r.Prepare(opt.Device)
	if err == nil {
		if s.device.Kind != tensor.Host {
			s.thread = newThread()
		}
		s.thread.do(func() { err = s.load(model, opt) })
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("load onnx model: %s", oneLine(err.Error()))
	}
	return s, nil
}

func (s *Session) load(model []byte, opt Options) error {
	o, err := opt.build()
	if err != nil {
		return err
	}
	defer o.Destroy()
	// The names passed here are for onnxruntime_go's own runs, which are not used.
	if s.dynamic, err = onnxruntime.NewDynamicAdvancedSessionWithONNXData(model, nil, nil, o); err != nil {
		return err
	}
	return s.describe()
}

// run runs the session once, on its thread. options may be nil.
func (s *Session) run(options handle, b binding) (err error) {
	s.thread.do(func() { err = run(s.session, options, b) })
	return err
}

// Device is what the session runs on.
func (s *Session) Device() Device { return s.device }

func (s *Session) describe() (err error) {
	if s.session, err = sessionHandle(s.dynamic); err != nil {
		return err
	}
	if s.in, err = describe(s.session, false); err != nil {
		return fmt.Errorf("input %w", err)
	}
	if s.out, err = describe(s.session, true); err != nil {
		return fmt.Errorf("output %w", err)
	}
	for _, v := range slices.Concat(s.in, s.out) {
		if s.names[v.Name] == nil {
			s.names[v.Name] = C.CString(v.Name)
		}
	}
	return nil
}

// sessionHandle extracts the C session from onnxruntime_go's, which does not export it. A release
// with other field names yields an error, not a crash.
func sessionHandle(d *onnxruntime.DynamicAdvancedSession) (handle, error) {
	inner := reflect.ValueOf(d).Elem().FieldByName("s")
	if inner.Kind() == reflect.Pointer && inner.Elem().Kind() == reflect.Struct {
		p := inner.Elem().FieldByName("ortSession")
		if p.Kind() == reflect.Pointer && !p.IsNil() {
			return p.UnsafePointer(), nil
		}
	}
	return nil, errors.New("this release of onnxruntime_go keeps its session elsewhere")
}

// Close frees the session. It may be called again.
func (s *Session) Close() error {
	defer func() {
		s.thread.stop()
		s.thread = nil
	}()
	if s.dynamic == nil {
		return nil
	}
	s.buffers.close()
	var err error
	s.thread.do(func() { err = s.dynamic.Destroy() })
	for _, n := range s.names {
		C.free(unsafe.Pointer(n))
	}
	s.dynamic, s.session, s.names = nil, nil, nil
	if err != nil {
		return fmt.Errorf("close session: %w", err)
	}
	return nil
}

// Inputs lists the session's inputs; symbolic dimensions are -1. The slice is a copy, its shapes
// are not.
func (s *Session) Inputs() []tensor.Spec { return slices.Clone(s.in) }

// Outputs lists the session's outputs, as Inputs does.
func (s *Session) Outputs() []tensor.Spec { return slices.Clone(s.out) }

// Metadata returns the key-value pairs of the model.
func (s *Session) Metadata() (map[string]string, error) {
	kv, err := metadata(s.dynamic)
	if err != nil {
		return nil, fmt.Errorf("read model metadata: %w", err)
	}
	return kv, nil
}

func metadata(d *onnxruntime.DynamicAdvancedSession) (map[string]string, error) {
	if d == nil {
		return nil, errClosed
	}
	m, err := d.GetModelMetadata()
	if err != nil {
		return nil, err
	}
	defer m.Destroy()
	keys, err := m.GetCustomMetadataMapKeys()
	if err != nil {
		return nil, err
	}
	kv := make(map[string]string, len(keys))
	for _, k := range keys {
		if kv[k], _, err = m.LookupCustomMetadataMap(k); err != nil {
			return nil, err
		}
	}
	return kv, nil
}

var errClosed = errors.New("the session is closed")

// Run computes the wanted outputs, or all if none is named, from host tensors. All inputs are
// required; they are read in place and must not change until Run returns. The outputs are new
// tensors. Run may be called concurrently.
func (s *Session) Run(in tensor.Batch, want ...string) (tensor.Batch, error) {
	return s.RunContext(context.Background(), in, want...)
}

// RunContext is Run that stops early, between two nodes of the graph, when ctx ends. The error
// then wraps that of ctx.
func (s *Session) RunContext(ctx context.Context, in tensor.Batch, want ...string) (tensor.Batch, error) {
	out, err := s.runContext(ctx, in, want)
	if err == nil {
		return out, nil
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return nil, fmt.Errorf("run model: %w", err)
}

func (s *Session) runContext(ctx context.Context, in tensor.Batch, want []string) (out tensor.Batch, err error) {
	outputs, err := s.wanted(want)
	if err != nil {
		return nil, err
	}
	// A device copies inputs when they are bound, in a stream of the binding thread: only on the
	// same thread does the run come after the copies.
	s.thread.do(func() { out, err = s.bindAndRun(ctx, in, outputs) })
	return out, err
}

// bindAndRun runs the session once, on the calling thread.
func (s *Session) bindAndRun(ctx context.Context, in tensor.Batch, outputs []tensor.Spec) (tensor.Batch, error) {
	b, err := newBinding(s.session)
	if err != nil {
		return nil, err
	}
	// The order of the clean-up matters: the binding goes before the values it holds, and both
	// before the memory may move.
	var pin runtime.Pinner
	defer pin.Unpin()
	var values []handle
	defer func() { release(values) }()
	defer b.release()

	if err := s.bindInputs(b, in, &pin, &values); err != nil {
		return nil, err
	}
	for _, o := range outputs {
		if err := b.outputAnywhere(s.names[o.Name]); err != nil {
			return nil, fmt.Errorf("output %q: %w", o.Name, err)
		}
	}
	if err := s.runUntil(ctx, b); err != nil {
		return nil, err
	}
	return collect(b, outputs)
}

func (s *Session) bindInputs(b binding, in tensor.Batch, pin *runtime.Pinner, values *[]handle) error {
	if err := only(in, s.in); err != nil {
		return err
	}
	for _, spec := range s.in {
		t := in[spec.Name]
		data, err := fits(t, spec)
		if err != nil {
			return err
		}
		if data != nil {
			pin.Pin(data)
		}
		v, err := newValue(tensor.Spec{Name: spec.Name, Type: t.Type, Shape: t.Shape}, data)
		if err != nil {
			return err
		}
		*values = append(*values, v)
		if err := b.input(s.names[spec.Name], v); err != nil {
			return fmt.Errorf("input %q: %w", spec.Name, err)
		}
	}
	return nil
}

// wanted looks up outputs by name; all of them if no name is given.
func (s *Session) wanted(names []string) ([]tensor.Spec, error) {
	if s.session == nil {
		return nil, errClosed
	}
	if len(names) == 0 {
		return s.out, nil
	}
	var specs []tensor.Spec
	for i, n := range names {
		at := slices.IndexFunc(s.out, func(o tensor.Spec) bool { return o.Name == n })
		if at < 0 || slices.Contains(names[:i], n) {
			return nil, fmt.Errorf("output %q: no such output, or asked for twice (the model gives %s)", n, list(s.out))
		}
		specs = append(specs, s.out[at])
	}
	return specs, nil
}

// collect copies the outputs of a run.
func collect(b binding, outputs []tensor.Spec) (tensor.Batch, error) {
	values, err := b.outputs(len(outputs))
	defer release(values)
	if err != nil {
		return nil, err
	}
	out := tensor.Batch{}
	for i, o := range outputs {
		t, err := copyOut(values[i])
		if err != nil {
			return nil, fmt.Errorf("output %q: %w", o.Name, err)
		}
		out[o.Name] = t
	}
	return out, nil
}

func release(values []handle) {
	for _, v := range values {
		if v != nil {
			releaseValue(v)
		}
	}
}

// only rejects tensors that the model has no input for.
func only(in tensor.Batch, specs []tensor.Spec) error {
	for name := range in {
		if !slices.ContainsFunc(specs, func(s tensor.Spec) bool { return s.Name == name }) {
			return fmt.Errorf("input %q: no such input (the model wants %s)", name, list(specs))
		}
	}
	return nil
}

// fits checks a tensor against its input's spec, where a symbolic dimension matches any size, and
// returns its memory.
func fits(t *tensor.Tensor, spec tensor.Spec) (unsafe.Pointer, error) {
	if t == nil {
		return nil, fmt.Errorf("input %q is missing", spec.Name)
	}
	same := slices.EqualFunc(t.Shape, spec.Shape, func(have, want int) bool { return have == want || want < 0 })
	if t.Type != spec.Type || !same {
		return nil, fmt.Errorf("input %q is %v%v, the model wants %v%v", spec.Name, t.Type, t.Shape, spec.Type, spec.Shape)
	}
	data, err := dataOf(t)
	if err != nil {
		return nil, fmt.Errorf("input %q: %w", spec.Name, err)
	}
	return data, nil
}

func list(specs []tensor.Spec) string {
	names := make([]string, len(specs))
	for i, s := range specs {
		names[i] = s.Name
	}
	return strings.Join(names, ", ")
}
