package ort_test

import (
	"context"
	"errors"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"

	"vicreg/models/onnx"
	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
)

// TestTypes sends every element type through the runtime and back, with a
// symbolic dimension, a scalar and an empty tensor.
func TestTypes(t *testing.T) {
	half := tensor.New(tensor.Float16, 2)
	copy(half.Data.([]uint16), []uint16{0x3c00, 0xfbff})
	for _, x := range []*tensor.Tensor{
		tensor.Of([]float32{1.5, -2}), tensor.Of([]float64{1e300, 2}), tensor.Of([]uint8{0, 255}),
		tensor.Of([]int8{-128, 127}), tensor.Of([]int32{-1, 1 << 30}), tensor.Of([]int64{-1, 1 << 60}),
		tensor.Of([]bool{true, false}), half, tensor.New(tensor.Float32, 0),
	} {
		m := newBuilder().input(x.Type, "x", -1).output(x.Type, "y", -1).node("Identity", "y", "x").model()
		out, err := orttest.Session(t, m, ort.Options{}).Run(tensor.Batch{"x": x})
		if err != nil {
			t.Errorf("%v: %v", x.Type, err)
			continue
		}
		if y := out["y"]; y.Type != x.Type || !slices.Equal(y.Shape, x.Shape) || !reflect.DeepEqual(y.Data, x.Data) {
			t.Errorf("%v%v %v came back as %v%v %v", x.Type, x.Shape, x.Data, y.Type, y.Shape, y.Data)
		}
	}
	m := newBuilder().input(tensor.Float32, "x").output(tensor.Float32, "y").node("Neg", "y", "x").model()
	scalar := &tensor.Tensor{Type: tensor.Float32, Data: []float32{3}}
	out, err := orttest.Session(t, m, ort.Options{}).Run(tensor.Batch{"x": scalar})
	if err != nil || len(out["y"].Shape) != 0 || out["y"].Float32()[0] != -3 {
		t.Errorf("a scalar gave %v, %v", out["y"], err)
	}
}

// double is y = x + x and z = -x over a symbolic batch.
func double() *onnx.ModelProto {
	m := newBuilder().input(tensor.Float32, "x", -1, 2).
		output(tensor.Float32, "y", -1, 2).output(tensor.Float32, "z", -1, 2).
		node("Add", "y", "x", "x").node("Neg", "z", "x").model()
	onnx.SetMetadata(m, "b", "2")
	onnx.SetMetadata(m, "a", "größer")
	return m
}

func TestDescribe(t *testing.T) {
	s := orttest.Session(t, double(), ort.Options{})
	want := []tensor.Spec{{Name: "x", Type: tensor.Float32, Shape: []int{-1, 2}}}
	if got := s.Inputs(); !reflect.DeepEqual(got, want) {
		t.Errorf("inputs %v, want %v", got, want)
	}
	want = []tensor.Spec{
		{Name: "y", Type: tensor.Float32, Shape: []int{-1, 2}},
		{Name: "z", Type: tensor.Float32, Shape: []int{-1, 2}},
	}
	if got := s.Outputs(); !reflect.DeepEqual(got, want) {
		t.Errorf("outputs %v, want %v", got, want)
	}
	kv, err := s.Metadata()
	if err != nil || !reflect.DeepEqual(kv, map[string]string{"a": "größer", "b": "2"}) {
		t.Errorf("metadata %v, %v", kv, err)
	}
}

func TestRunWanted(t *testing.T) {
	s := orttest.Session(t, double(), ort.Options{})
	in := tensor.Batch{"x": tensor.Of([]float32{1, 2}, 1, 2)}
	for _, c := range []struct{ want, names []string }{{nil, []string{"y", "z"}}, {[]string{"z"}, []string{"z"}}, {[]string{"z", "y"}, []string{"y", "z"}}} {
		out, err := s.Run(in, c.want...)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for n := range out {
			names = append(names, n)
		}
		slices.Sort(names)
		if !slices.Equal(names, c.names) {
			t.Errorf("asked for %v, got %v", c.want, names)
		}
		if z := out["z"].Float32(); !slices.Equal(z, []float32{-1, -2}) {
			t.Errorf("z is %v", z)
		}
	}
	_, err := s.Run(in, "gone")
	refused(t, err, `run model: output "gone": no such output`)
	_, err = s.Run(in, "y", "y")
	refused(t, err, `run model: output "y": no such output, or asked for twice`)
	_, err = s.Run(nil)
	refused(t, err, `run model: input "x" is missing`)
	_, err = s.Run(tensor.Batch{"x": tensor.New(tensor.Float32, 5, 3)})
	refused(t, err, `run model: input "x" is float32[5 3], the model wants float32[-1 2]`)
}

func TestRunAtOnce(t *testing.T) {
	s := orttest.Session(t, double(), ort.Options{Threads: 2, Spin: true})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for n := 1; n < 20; n++ {
				x := tensor.New(tensor.Float32, n, 2)
				for i := range x.Float32() {
					x.Float32()[i] = float32(g*1000 + i)
				}
				out, err := s.Run(tensor.Batch{"x": x}, "z")
				if err != nil {
					t.Error(err)
					return
				}
				for i, z := range out["z"].Float32() {
					if z != -float32(g*1000+i) {
						t.Errorf("goroutine %d, %d rows: z[%d] is %v", g, n, i, z)
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

// TestRunStops cancels the context while the graph runs a loop that would take far longer than
// any test.
func TestRunStops(t *testing.T) {
	body := newBuilder().input(tensor.Int64, "i", 1).input(tensor.Bool, "go", 1).input(tensor.Float32, "c", 64, 64).
		output(tensor.Bool, "go.next", 1).output(tensor.Float32, "c.next", 64, 64).
		node("Identity", "go.next", "go").node("MatMul", "c.next", "c", "c").g
	b := newBuilder().input(tensor.Float32, "x", 64, 64).output(tensor.Float32, "y", 64, 64).node("Loop", "y", "trips", "", "x")
	b.g.Node[0].Attribute = []*onnx.AttributeProto{{Name: "body", Type: onnx.AttributeProto_GRAPH, G: body}}
	b.g.Initializer = []*onnx.TensorProto{onnx.TensorOf(tensor.Of([]int64{1 << 50}), "trips")}
	s := orttest.Session(t, b.model(), ort.Options{Threads: 1})
	in := tensor.Batch{"x": tensor.New(tensor.Float32, 64, 64)}

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := s.RunContext(ctx, in)
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("a run that was stopped gave %v", err)
	}
	if _, err := s.RunContext(ctx, in); !errors.Is(err, context.Canceled) {
		t.Errorf("a run that was stopped before it began gave %v", err)
	}
}

func TestNewSessionRefuses(t *testing.T) {
	r := orttest.Open(t)
	bad := double()
	bad.Graph.Node[0].OpType = "NoSuchOperator"
	b, err := onnx.Marshal(bad)
	if err != nil {
		t.Fatal(err)
	}
	for name, model := range map[string][]byte{"empty": nil, "noise": []byte("noise"), "unknown operator": b} {
		s, err := r.NewSession(model, ort.Options{})
		refused(t, err, "load onnx model: ")
		if s != nil {
			t.Errorf("%s: a session came with the error", name)
		}
	}
}

func TestCloseSession(t *testing.T) {
	s := orttest.Session(t, double(), ort.Options{})
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.Run(tensor.Batch{"x": tensor.New(tensor.Float32, 1, 2)})
	refused(t, err, "run model: the session is closed")
	_, err = s.Metadata()
	refused(t, err, "read model metadata: the session is closed")
	_, err = ort.NewStepper(s, ort.StepperConfig{})
	refused(t, err, "prepare step: the session is closed")
}

func TestProfile(t *testing.T) {
	prefix := filepath.Join(t.TempDir(), "p")
	s := orttest.Session(t, double(), ort.Options{ProfilePrefix: prefix})
	if _, err := s.Run(tensor.Batch{"x": tensor.New(tensor.Float32, 1, 2)}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if events := orttest.Profile(t, prefix); len(events) == 0 {
		t.Error("nothing is in the profile")
	}
}
