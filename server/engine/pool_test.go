package engine

import (
	"testing"

	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
)

// A picture over the limit is rejected without reserving memory: small files that claim to be huge
// must not hold up others.
func TestRefusedPicturesTakeNoRoom(t *testing.T) {
	p := &pool{enc: &encoder.Encoder{Limits: imaging.Limits{Pixels: 5000}}}
	for _, c := range []struct {
		w, h int
		want int64
	}{{50, 100, 5000}, {1, 1, 1}, {0, 7, 1}, {50, 101, 1}, {1 << 31, 1 << 31, 1}, {1<<32 - 1, 1<<32 - 1, 1}} {
		if got := p.weight(imaging.Info{W: c.w, H: c.h}); got != c.want {
			t.Errorf("%dx%d: %d, want %d", c.w, c.h, got, c.want)
		}
	}
}

// A WebP file reserves memory for its tables, but never more than the limit.
func TestTablesTakeRoom(t *testing.T) {
	for _, c := range []struct {
		limit, w, h int
		want        int64
	}{{50_000_000, 10, 10, 4_000_000}, {50_000_000, 5000, 1000, 5_000_000}, {5000, 10, 10, 5000}, {5000, 100, 100, 1}} {
		p := &pool{enc: &encoder.Encoder{Limits: imaging.Limits{Pixels: c.limit}}}
		if got := p.weight(imaging.Info{Format: "webp", W: c.w, H: c.h}); got != c.want {
			t.Errorf("%dx%d of at most %d: %d, want %d", c.w, c.h, c.limit, got, c.want)
		}
	}
}
