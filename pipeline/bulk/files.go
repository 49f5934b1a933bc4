package bulk

import (
	"flag"

	"vicreg/pipeline/imaging"
	"vicreg/pipeline/usage"
)

// Limits apply to files the user chose, as opposed to uploads to a server.
var Limits = imaging.Limits{TIFF: true}

// mostPixels still fits in the memory of large machines and in the decoders' counters.
const mostPixels = 1_000_000_000

// Files are the flags that limit image files. A run stores them.
type Files struct {
	MaxPixels int `json:"max_pixels,omitempty"` // pixels per image; 0 for the default, which also limits the sides
}

// Register adds the flags to a command's.
func (f *Files) Register(fs *flag.FlagSet) {
	fs.IntVar(&f.MaxPixels, "max-pixels", 0, "at most `N` pixels per image, of any shape; by default 50 million and at most 16384 per side; larger images count as bad files. Decoding takes up to 21 bytes per pixel in each worker")
}

// Validate checks the parsed flags.
func (f Files) Validate() error {
	if f.MaxPixels < 0 || f.MaxPixels > mostPixels {
		return usage.Errorf("--max-pixels %d: want 1 to %d", f.MaxPixels, mostPixels)
	}
	return nil
}

// Limits returns Limits as changed by the flags.
func (f Files) Limits() imaging.Limits {
	l := Limits
	if f.MaxPixels > 0 {
		l.Pixels, l.Side = f.MaxPixels, f.MaxPixels
	}
	return l
}
