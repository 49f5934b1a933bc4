package ort_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"vicreg/models/onnx"
	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
)

// echo returns a model whose outputs are its input, uint8 [N, 3]: once unchanged, and once cast
// to float32 via strings, which only the host supports. On a device that computes nothing, both
// are right if the input got there, which it does first if the graph runs as written.
func echo() *onnx.ModelProto {
	m := newBuilder().input(tensor.Uint8, "x", -1, 3).output(tensor.Uint8, "y", -1, 3).output(tensor.Float32, "z", -1, 3).
		value(tensor.Uint8, "x2", -1, 3).value(8, "text", -1, 3).
		node("Identity", "y", "x").node("Identity", "x2", "x").node("Cast", "text", "x2").node("Cast", "z", "text").model()
	m.Graph.Node[2].Attribute = []*onnx.AttributeProto{onnx.Int("to", 8)}
	m.Graph.Node[3].Attribute = []*onnx.AttributeProto{onnx.Int("to", 1)}
	return m
}

// echoes fills the first n rows of x, runs them, and compares.
func echoes(t *testing.T, s *ort.Session, x []uint8, n, seed int) {
	t.Helper()
	x = x[:3*n]
	for i := range x {
		x[i] = uint8(7*i + seed)
	}
	out, err := s.RunContext(t.Context(), tensor.Batch{"x": tensor.Of(x, n, 3)})
	if err != nil {
		t.Error(err)
		return
	}
	if !slices.Equal(out["y"].Data.([]uint8), x) {
		t.Errorf("%d rows from %d: %v", n, seed, out["y"].Data)
	}
	for i, v := range out["z"].Float32() {
		if v != float32(x[i]) {
			t.Errorf("%d rows from %d: number %d of %d is %v", n, seed, i, x[i], v)
			return
		}
	}
}

// Part of a buffer is passed to a run, with any number of rows, and refilled after it.
func checkBuffers(t *testing.T, s *ort.Session) {
	b, err := s.NewBuffer(tensor.Uint8, 64, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	x := b.Data.([]uint8)
	if !slices.Equal(x, make([]uint8, 64*3)) || !slices.Equal(b.Shape, []int{64, 3}) {
		t.Errorf("a new buffer is %v%v", b.Shape, x)
	}
	for i, n := range []int{64, 1, 64, 5, 32, 5, 64} {
		echoes(t, s, x, n, 50*i)
	}
	echoes(t, s, x[30:], 4, 9)
}

func TestBuffer(t *testing.T) {
	s := orttest.Session(t, echo(), ort.Options{Threads: 1})
	checkBuffers(t, s)
	b, err := s.NewBuffer(tensor.Float32, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	b.Float32()[3] = 1 // ordinary memory
	b.Close()
	b.Close()
	if _, err := s.NewBuffer(tensor.Float32, 1); err == nil {
		t.Error("a buffer of a closed session")
	}
}

// On a device buffers are in pinned memory, which is freed with them or, at the latest, with the
// session.
func TestBufferOnCUDA(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	s := orttest.Session(t, echo(), ort.Options{Device: cuda, Level: ort.None})
	pinned := func() int64 {
		t.Helper()
		bytes, err := ort.Pinned(s)
		if err != nil {
			t.Fatal(err)
		}
		return bytes
	}
	checkBuffers(t, s)
	if n := pinned(); n != 0 {
		t.Errorf("%d bytes are pinned by buffers that are closed", n)
	}
	first, err := s.NewBuffer(tensor.Uint8, 1000)
	if err != nil {
		t.Fatal(err)
	}
	last, err := s.NewBuffer(tensor.Uint8, 3000)
	if err != nil {
		t.Fatal(err)
	}
	if n := pinned(); n < 4000 {
		t.Errorf("%d bytes are pinned by buffers of 4000", n)
	}
	first.Close()
	first.Close()
	if n := pinned(); n < 3000 || n >= 4000 {
		t.Errorf("%d bytes are pinned by a buffer of 3000", n)
	}
	if _, err := s.NewBuffer(tensor.Invalid, 1); err == nil {
		t.Error("a buffer of no type")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	last.Close()
	if first.Tensor != nil || last.Tensor != nil {
		t.Error("a buffer outlives its session")
	}
	if _, err := s.NewBuffer(tensor.Uint8, 1); err == nil {
		t.Error("a buffer of a closed session")
	}
}

// Concurrent runs, on any thread, get their own results, and one that is cancelled does not
// disturb the others.
func TestRunsAtOnceOnCUDA(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	s := orttest.Session(t, echo(), ort.Options{Device: cuda, Level: ort.None})
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			b, err := s.NewBuffer(tensor.Uint8, 40, 3)
			if err != nil {
				t.Error(err)
				return
			}
			defer b.Close()
			for i := range 20 {
				x := b.Data.([]uint8)
				if g%2 == 1 {
					x = make([]uint8, 40*3)
				}
				ended, end := context.WithCancel(t.Context())
				end()
				if _, err := s.RunContext(ended, tensor.Batch{"x": tensor.Of(x, 40, 3)}); !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				echoes(t, s, x, 1+(7*g+i)%40, 10*g+i)
			}
		})
	}
	all.Wait()
}
