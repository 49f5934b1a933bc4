package usage

import "testing"

func TestCount(t *testing.T) {
	for n, want := range map[int64]string{0: "0 images", 1: "1 image", 2: "2 images", 11: "11 images"} {
		if got := Count(n, "image"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
