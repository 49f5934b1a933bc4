package bulk_test

import (
	"flag"
	"io"
	"strings"
	"testing"

	"vicreg/pipeline/bulk"
	"vicreg/pipeline/imaging"
	"vicreg/pipeline/usage"
)

func TestFiles(t *testing.T) {
	for line, want := range map[string]imaging.Limits{
		"":                        {TIFF: true},
		"--max-pixels 600000000":  {TIFF: true, Pixels: 600_000_000, Side: 600_000_000},
		"--max-pixels=100":        {TIFF: true, Pixels: 100, Side: 100},
		"--max-pixels -1":         {},
		"--max-pixels 2000000000": {},
	} {
		var f bulk.Files
		fs := flag.NewFlagSet("test", flag.ContinueOnError)
		fs.SetOutput(io.Discard)
		f.Register(fs)
		err := usage.Parse(fs, strings.Fields(line))
		if err == nil {
			err = f.Validate()
		}
		if (err != nil) != (want == imaging.Limits{}) || err == nil && f.Limits() != want {
			t.Errorf("%q: %v, %+v", line, err, f.Limits())
		}
	}
}
