package bulk

import (
	"flag"

	"vicreg/pipeline/imaging"
	"vicreg/pipeline/usage"
)

// Limits are those of files that the user has chosen himself, unlike those that come
// to a server.
var Limits = imaging.Limits{TIFF: true}

// mostPixels is what still fits the memory of large machines, and the counters of what
// decodes.
const mostPixels = 1_000_000_000

// Files are the flags on what image files may be. A run keeps them.
type Files struct {
	MaxPixels int `json:"max_pixels,omitempty"` // of an image; 0 for the default, with its limit on the sides
}

// Register adds the flags to a command's.
func (f *Files) Register(fs *flag.FlagSet) {
	fs.IntVar(&f.MaxPixels, "max-pixels", 0, "`N` pixels that an image may have, of any shape; by default 50 million, and 16384 a side; larger ones are bad files. Decoding takes up to 21 bytes a pixel in each worker")
}

// Validate reports, once the flags are parsed, what cannot be.
func (f Files) Validate() error {
	if f.MaxPixels < 0 || f.MaxPixels > mostPixels {
		return usage.Errorf("--max-pixels %d: want 1 to %d", f.MaxPixels, mostPixels)
	}
	return nil
}

// Limits are Limits with what the flags say.
func (f Files) Limits() imaging.Limits {
	l := Limits
	if f.MaxPixels > 0 {
		l.Pixels, l.Side = f.MaxPixels, f.MaxPixels
	}
	return l
}
