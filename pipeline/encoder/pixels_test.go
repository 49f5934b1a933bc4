package encoder_test

import (
	"slices"
	"testing"

	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
)

var cuda = ort.Device{Kind: tensor.CUDA}

// copied returns an encoder whose vector is the image itself.
func copied(t *testing.T, size int, opt ort.Options) *encoder.Encoder {
	t.Helper()
	m := orttest.Copied(size)
	about := encoder.Metadata{Preprocess: imaging.Preprocess{Crop: size, Interpolation: "bilinear"}, Normalization: plain,
		Dim: 3 * size * size, Center: make([]float32, 3*size*size)}
	if err := about.Attach(m); err != nil {
		t.Fatal(err)
	}
	e, err := encoder.New(orttest.Open(t), marshal(t, m), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// checkPixels encodes batches of different sizes from the same buffer.
func checkPixels(t *testing.T, e *encoder.Encoder) {
	t.Helper()
	room, err := e.NewPixels(16)
	if err != nil {
		t.Fatal(err)
	}
	one := 3 * e.Size() * e.Size()
	if len(room.Data) != 16*one {
		t.Fatalf("%d bytes of room", len(room.Data))
	}
	for i, n := range []int{16, 1, 7, 16, 2, 7} {
		at := room.Data[:n*one]
		if i == 2 {
			at = room.Data[one:][:n*one]
		}
		for k := range at {
			at[k] = uint8(k*k + 40*i)
		}
		y, err := e.Encode(t.Context(), at, n)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(y, at, func(v float32, p uint8) bool { return v == float32(p) }) {
			t.Errorf("batch %d, of %d: %v, want %v", i, n, y, at)
		}
	}
	room.Close()
	room.Close()
	if room.Data != nil {
		t.Error("there is room after the end")
	}
}

func TestPixels(t *testing.T) {
	e := copied(t, 2, ort.Options{Threads: 1})
	checkPixels(t, e)
	room, err := e.NewPixels(1)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	room.Close()
	if _, err := e.NewPixels(1); err == nil {
		t.Error("an encoder that is closed makes room")
	}
}

// Pixels reach a device from its own buffer and from other memory.
func TestPixelsOnCUDA(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	e := copied(t, 2, ort.Options{Device: cuda, Level: ort.None})
	checkPixels(t, e)
	other := []uint8{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	y, err := e.Encode(t.Context(), other, 1)
	if err != nil || y[0] != 1 || y[11] != 12 {
		t.Errorf("%v, %v", y, err)
	}
	if _, err := e.NewPixels(8); err != nil { // freed with the encoder
		t.Error(err)
	}
}
