package server

import (
	"slices"
	"strings"
	"testing"

	"vicreg/server/servertest"
)

// An image sent again is not computed again, whatever format the request has.
func TestCacheRemembers(t *testing.T) {
	s := start(t, nil)
	image := servertest.Photo(t, 1)
	first := parse(t, ask(s, "POST", "/embed", image, "Content-Type", "image/png"))
	before := s.current().Stats().Waiting
	again := parse(t, ask(s, "POST", "/embed", inputs(image, image, servertest.Photo(t, 2)), "Content-Type", "application/json"))
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
	if before != 0 || s.current().Stats().Waiting != 0 {
		t.Error("places were not given back")
	}
}
