package server

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"vicreg/server/problem"
	"vicreg/server/request"
)

// The same image again is not computed again, whatever form it comes in.
func TestCacheRemembers(t *testing.T) {
	s := start(t, nil)
	image := photo(t, 1)
	first := parse(t, ask(s, "POST", "/embed", image, "Content-Type", "image/png"))
	before := s.current().batcher.Waiting()
	again := parse(t, ask(s, "POST", "/embed", inputs(image, image, photo(t, 2)), "Content-Type", "application/json"))
	for i := range 2 {
		if !slices.Equal(again.Data[i].Embedding, first.Data[0].Embedding) {
			t.Errorf("image %d: other numbers", i)
		}
	}
	normal := parse(t, ask(s, "POST", "/embed?normalize=true", image, "Content-Type", "image/png"))
	last := parse(t, ask(s, "POST", "/embed", image, "Content-Type", "image/png"))
	if slices.Equal(normal.Data[0].Embedding, first.Data[0].Embedding) || !slices.Equal(last.Data[0].Embedding, first.Data[0].Embedding) {
		t.Error("normalize changed what is remembered, or nothing")
	}
	text := ask(s, "GET", "/metrics", nil).Body.String()
	for _, want := range []string{"vicreg_images_total 2", `vicreg_cache_hits_total{how="known"} 4`} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if before != 0 || s.current().batcher.Waiting() != 0 {
		t.Error("places were not given back")
	}
}

func TestCacheRoom(t *testing.T) {
	k := newCache(3 * (40 + overhead))
	name := func(i int) content { return contentOf("f", []byte{byte(i)}) }
	for i := range 5 {
		_, f, mine := k.look(name(i), false)
		if !mine {
			t.Fatalf("%d is known", i)
		}
		k.land(name(i), f, outcome{vector: make([]float32, 10)}, true)
	}
	for i := range 5 {
		if v, _, _ := k.look(name(i), false); (v != nil) != (i >= 2) {
			t.Errorf("%d: known is %v", i, v != nil)
		}
	}
	_, f, _ := k.look(name(9), false)
	k.remember(name(9), outcome{vector: make([]float32, 10)}) // by another request meanwhile
	k.land(name(9), f, outcome{vector: make([]float32, 10)}, true)
	if k.used != 3*(40+overhead) || k.known.Len() != 3 {
		t.Errorf("%d bytes are used for %d vectors", k.used, k.known.Len())
	}
	if newCache(0) != nil {
		t.Error("a cache without room")
	}
}

// What is remembered is the vector alone, not the batch it is a piece of.
func TestCacheKeepsNoBatches(t *testing.T) {
	k := newCache(1000)
	name := contentOf("f", nil)
	batch := []float32{1, 2, 3, 4}
	_, f, _ := k.look(name, false)
	k.land(name, f, outcome{vector: batch[1:3:3]}, true)
	batch[1] = 9
	if v, _, _ := k.look(name, false); !slices.Equal(v, []float32{2, 3}) {
		t.Errorf("%v is kept of the batch", v)
	}
}

// An image that is under way is waited for; when its request gave up, another takes over.
func TestCacheShares(t *testing.T) {
	s := start(t, nil)
	image := []request.Image{{File: photo(t, 4)}}
	name := contentOf(s.current().Fingerprint(), image[0].File)
	_, first, mine := s.cache.look(name, false)
	if !mine {
		t.Fatal("known before it was asked for")
	}
	var waiting sync.WaitGroup
	results := make([]outcome, 3)
	for i := range results {
		waiting.Go(func() {
			j := &job{s: s, e: s.current(), ctx: t.Context(), rows: make([]outcome, 1)}
			if err := j.embed(image); err != nil {
				t.Error(err)
			}
			results[i] = j.rows[0]
		})
	}
	s.cache.land(name, first, outcome{}, false)
	waiting.Wait()
	for i, r := range results {
		if r.err != nil || !slices.Equal(r.vector, results[0].vector) || len(r.vector) == 0 {
			t.Errorf("request %d: %+v", i, r)
		}
	}
	if got := s.cache.flying; len(got) != 0 {
		t.Errorf("%d images are still under way", len(got))
	}

	other := []request.Image{{File: photo(t, 5)}}
	name = contentOf(s.current().Fingerprint(), other[0].File)
	_, first, _ = s.cache.look(name, false)
	ctx, leave := context.WithCancel(t.Context())
	leave()
	j := &job{s: s, e: s.current(), ctx: ctx, rows: make([]outcome, 1)}
	if err := j.embed(other); !errors.Is(err, context.Canceled) {
		t.Errorf("one who left still waits: %v", err)
	}
	s.cache.land(name, first, outcome{err: problem.Errorf(problem.BadImage, "no")}, true)
	if v, _, mine := s.cache.look(name, false); v != nil || !mine {
		t.Error("a bad image is remembered")
	}
}

// A request of many images is waited for by nobody, and its vectors are kept.
func TestLongRequestsAreNotWaitedFor(t *testing.T) {
	s := start(t, nil)
	files := make([][]byte, sharedUpTo+1)
	for i := range files {
		files[i] = photo(t, i)
	}
	name := contentOf(s.current().Fingerprint(), files[0])
	if _, f, mine := s.cache.look(name, true); f != nil || !mine || len(s.cache.flying) != 0 {
		t.Error("one who takes long has a flight")
	}
	parse(t, ask(s, "POST", "/embed", inputs(files...), "Content-Type", "application/json"))
	if v, _, _ := s.cache.look(name, false); len(v) != s.current().Dim() {
		t.Error("its vectors are not kept")
	}
}
