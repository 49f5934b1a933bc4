package engine

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"vicreg/server/problem"
	"vicreg/server/request"
	"vicreg/server/servertest"
)

func TestCacheRoom(t *testing.T) {
	k := newCache(3 * (40 + overhead))
	name := func(i int) content { return contentOf("f", []byte{byte(i)}) }
	for i := range 5 {
		_, f, mine := k.look(name(i), false)
		if !mine {
			t.Fatalf("%d is known", i)
		}
		k.land(name(i), f, Outcome{Vector: make([]float32, 10)}, true)
	}
	for i := range 5 {
		if v, _, _ := k.look(name(i), false); (v != nil) != (i >= 2) {
			t.Errorf("%d: known is %v", i, v != nil)
		}
	}
	_, f, _ := k.look(name(9), false)
	k.remember(name(9), Outcome{Vector: make([]float32, 10)}) // by another request meanwhile
	k.land(name(9), f, Outcome{Vector: make([]float32, 10)}, true)
	if k.used != 3*(40+overhead) || k.known.Len() != 3 {
		t.Errorf("%d bytes are used for %d vectors", k.used, k.known.Len())
	}
	if newCache(0) != nil {
		t.Error("a cache without room")
	}
}

// Without a cache each request computes its own images.
func TestNoCache(t *testing.T) {
	k := newCache(0)
	name, row := contentOf("f", nil), Outcome{Vector: []float32{1}}
	for range 2 {
		if v, f, mine := k.look(name, false); v != nil || f != nil || !mine {
			t.Errorf("found %v, %v, %v", v, f, mine)
		}
		k.remember(name, row)
		k.land(name, nil, row, true)
	}
}

// Only the vector itself is cached, not the batch that it is a slice of.
func TestCacheKeepsNoBatches(t *testing.T) {
	k := newCache(1000)
	name := contentOf("f", nil)
	batch := []float32{1, 2, 3, 4}
	_, f, _ := k.look(name, false)
	k.land(name, f, Outcome{Vector: batch[1:3:3]}, true)
	batch[1] = 9
	if v, _, _ := k.look(name, false); !slices.Equal(v, []float32{2, 3}) {
		t.Errorf("%v is kept of the batch", v)
	}
}

// Requests wait for an image that is being embedded; if its request gives up, one of them takes
// over.
func TestCacheShares(t *testing.T) {
	e := start(t, nil)
	image := []request.Image{{File: servertest.Photo(t, 4)}}
	name := contentOf(e.Fingerprint(), image[0].File)
	_, first, mine := e.shared.cache.look(name, false)
	if !mine {
		t.Fatal("known before it was asked for")
	}
	var waiting sync.WaitGroup
	results := make([]Outcome, 3)
	for i := range results {
		waiting.Go(func() {
			r, err := e.Embed(t.Context(), image, false)
			if err != nil {
				t.Error(err)
			}
			results[i] = r.Rows[0]
		})
	}
	e.shared.cache.land(name, first, Outcome{}, false)
	waiting.Wait()
	for i, r := range results {
		if r.Err != nil || !slices.Equal(r.Vector, results[0].Vector) || len(r.Vector) == 0 {
			t.Errorf("request %d: %+v", i, r)
		}
	}
	if got := e.shared.cache.flying; len(got) != 0 {
		t.Errorf("%d images are still under way", len(got))
	}

	other := []request.Image{{File: servertest.Photo(t, 5)}}
	name = contentOf(e.Fingerprint(), other[0].File)
	_, first, _ = e.shared.cache.look(name, false)
	ctx, leave := context.WithCancel(t.Context())
	leave()
	if _, err := e.Embed(ctx, other, false); !errors.Is(err, context.Canceled) {
		t.Errorf("one who left still waits: %v", err)
	}
	e.shared.cache.land(name, first, Outcome{Err: problem.Errorf(problem.BadImage, "no")}, true)
	if v, _, mine := e.shared.cache.look(name, false); v != nil || !mine {
		t.Error("a bad image is remembered")
	}
}

// No request waits for the images of a large request, but their vectors are cached.
func TestLongRequestsAreNotWaitedFor(t *testing.T) {
	e := start(t, nil)
	images := make([]request.Image, sharedUpTo+1)
	for i := range images {
		images[i].File = servertest.Photo(t, i)
	}
	name := contentOf(e.Fingerprint(), images[0].File)
	if _, f, mine := e.shared.cache.look(name, true); f != nil || !mine || len(e.shared.cache.flying) != 0 {
		t.Error("one who takes long has a flight")
	}
	if _, err := e.Embed(t.Context(), images, false); err != nil {
		t.Fatal(err)
	}
	if v, _, _ := e.shared.cache.look(name, false); len(v) != e.Dim() {
		t.Error("its vectors are not kept")
	}
}
