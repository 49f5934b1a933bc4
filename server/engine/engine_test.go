package engine

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
	"vicreg/server/batch"
	"vicreg/server/problem"
	"vicreg/server/request"
	"vicreg/server/servertest"
)

// settings are the engines' settings in these tests. MaxBatch is 1 because measuring batch sizes is
// most of what starting an engine takes.
var settings = Config{Queue: 64, MaxBatch: 1, Workers: 2, Decoders: 2, Deadline: time.Minute, Cache: 1 << 20,
	Limits: imaging.Limits{Side: 256, Pixels: 1 << 14}}

// start starts an engine with the settings as modified by change, which may be nil.
func start(t *testing.T, change func(*Config)) *Engine {
	t.Helper()
	config := settings
	if change != nil {
		change(&config)
	}
	enc, err := encoder.New(orttest.Open(t), servertest.Model(t, 1), ort.Options{Threads: 2}, ort.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	e, err := NewShared(config, slog.New(slog.DiscardHandler), prometheus.NewRegistry()).Start(enc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return e
}

// idle checks that no request holds any resources.
func (e *Engine) idle(t *testing.T, after string) {
	t.Helper()
	pixels := int64(imagesAtOnce * e.shared.config.Limits.Pixels)
	if !e.shared.pixels.TryAcquire(pixels) {
		t.Fatalf("after %s room is not given back", after)
	}
	e.shared.pixels.Release(pixels)
	if n := e.Stats().Waiting; n != 0 || len(e.pool.free) != cap(e.pool.free) || e.pool.files.Load() != 0 {
		t.Fatalf("after %s %d images wait, %d decoders are free", after, n, len(e.pool.free))
	}
}

// Unusable images fail alone and hold nothing afterwards, nor do those of a client that left.
func TestBadImagesHoldNothing(t *testing.T) {
	e := start(t, func(c *Config) { c.Cache = 0 })
	good := servertest.Photo(t, 0)
	images := []request.Image{{File: good}, {File: nil}, {File: good[:len(good)/2]}, {File: servertest.Photo(t, 1000)},
		{Err: problem.Errorf(problem.BadImage, "no base64")}, {File: good}}
	r, err := e.Embed(t.Context(), images, true)
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range r.Rows {
		want := i == 0 || i == 5
		if (row.Err == nil) != want || (len(row.Vector) == e.Dim()) != want || (r.Thumbs[i] != nil) != want || !want && row.Err.Code != problem.BadImage {
			t.Errorf("image %d: %d numbers, %v", i, len(row.Vector), row.Err)
		}
	}
	e.idle(t, "bad images")
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := e.Embed(gone, images, true); !errors.Is(err, context.Canceled) {
		t.Errorf("one who left: %v", err)
	}
	e.idle(t, "one who left")
}

// A full queue of 2 refuses a third image, both before the body is read and after.
func TestFull(t *testing.T) {
	e := start(t, func(c *Config) { c.Queue = 2 })
	if err := errors.Join(e.Room(t.Context()), e.batcher.Admit(t.Context(), 2, 0)); err != nil {
		t.Fatal(err)
	}
	var full *batch.Full
	if err := e.Room(t.Context()); !errors.As(err, &full) || full.After <= 0 {
		t.Errorf("room: %v", err)
	}
	r, err := e.Embed(t.Context(), []request.Image{{File: servertest.Photo(t, 0)}}, false)
	if !errors.As(err, &full) || r.Decode != 0 {
		t.Errorf("an image: %v, decoded for %v", err, r.Decode)
	}
	if _, err := e.EmbedPixels(t.Context(), [][]uint8{make([]uint8, 3*e.Size()*e.Size())}); !errors.As(err, &full) {
		t.Errorf("pixels: %v", err)
	}
	e.batcher.Leave(2)
	e.idle(t, "a full queue")
}

// Images on which the model fails do so alone and are not cached as bad; those with a meaningless
// vector are bad images.
func TestFailingModel(t *testing.T) {
	e := start(t, nil)
	batcher := e.batcher
	defer func() { e.batcher = batcher }()
	e.canary.stop() // it uses the batcher
	e.canary.done.Wait()
	for n, c := range []struct {
		vector []float32
		code   problem.Code
		words  string
	}{
		{nil, problem.Internal, "the model failed on this image"},
		{[]float32{1, float32(math.Inf(1))}, problem.BadImage, "its vector is not finite"},
		{[]float32{float32(math.NaN())}, problem.BadImage, "its vector is not finite"},
		{[]float32{0, 0}, problem.BadImage, "has no direction"},
	} {
		e.batcher = batch.New(func(_ context.Context, items [][]uint8) ([][]float32, error) {
			if c.vector == nil {
				return nil, errors.New("no")
			}
			return [][]float32{c.vector}, nil
		}, batch.Config{Queue: 10})
		r, err := e.Embed(t.Context(), []request.Image{{File: servertest.Photo(t, n)}}, false)
		if err != nil || r.Rows[0].Err == nil || r.Rows[0].Err.Code != c.code || !strings.Contains(r.Rows[0].Err.Detail, c.words) {
			t.Errorf("%v: %v, %v", c.vector, r.Rows[0].Err, err)
		}
		if err := e.batcher.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	e.batcher = batcher
	if r, err := e.Embed(t.Context(), []request.Image{{File: servertest.Photo(t, 0)}}, false); err != nil || r.Rows[0].Err != nil {
		t.Errorf("the first image again: %v, %v", r.Rows[0].Err, err)
	}
}

// A panic in a goroutine of a request is the request's error.
func TestSurvive(t *testing.T) {
	e := start(t, nil)
	pool := e.pool
	defer func() { e.pool = pool }()
	for n := 1; n <= 2; n++ {
		images := make([]request.Image, n)
		for i := range images {
			images[i].File = bytes.Clone(servertest.Photo(t, i))
		}
		e.pool = nil
		j := &job{e: e, ctx: t.Context(), images: images, Result: &Result{Rows: make([]Outcome, n)}}
		if _, err := j.pixels([]int{0, 1}[:n]); err == nil || !strings.Contains(err.Error(), "panic: ") {
			t.Errorf("%d images: %v", n, err)
		}
	}
}
