package pipeline

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"vicreg/pipeline/bulk"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
	"vicreg/pipeline/usage"
	"vicreg/pipeline/whole"
)

// check is one invocation of vicreg data check.
type check struct {
	data       []string
	list       string
	asJSON     bool
	force      bool
	workers    int
	files      bulk.Files
	conversion imaging.Conversion
}

func dataCheck(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := usage.Flags(stdout, usage.Text{
		Name:     "data check",
		Purpose:  "Decode every image of a data set; report formats and sizes, bad files, duplicates, mean and std.",
		Synopsis: "DIR... [flags]",
		Examples: []string{
			"vicreg data check photos",
			"vicreg data check photos --list bad.txt",
		},
		Notes: `Mean and std are per channel, of pixels from 0 to 1, each image with equal weight; the
line that prints them can be pasted into vicreg train, with the same --levels and
--background. Duplicates are byte-identical files. The exit code is 1 if a file is bad,
and 0 if only duplicates were found. Training replaces a bad file with its neighbour and
continues.`,
	})
	c := &check{}
	fs.StringVar(&c.list, "list", "", "write every bad file with its reason, and every group of duplicates, to this `FILE`")
	fs.BoolVar(&c.force, "force", false, "overwrite the FILE of --list if it exists")
	fs.BoolVar(&c.asJSON, "json", false, "print one JSON object")
	c.files.Register(fs)
	encoder.ConversionFlags(fs, &c.conversion, "")
	fs.IntVar(&c.workers, "workers", 0, "`N` goroutines that decode; by default one per core")
	if err := usage.ParseAll(fs, args, "DIR", &c.data); err != nil {
		return err
	}
	if c.workers < 0 || c.workers > bulk.MaxThreads {
		return usage.Errorf("--workers %d: want 1 to %d, or 0 for one a core", c.workers, bulk.MaxThreads)
	}
	if err := c.files.Validate(); err != nil {
		return err
	}
	if c.list != "" {
		if err := checkOutput("--list", c.list, c.force, c.data...); err != nil {
			return err
		}
	}
	// No index, since a cached one would not list the skipped files in the folders.
	set, err := dataset.OpenAll(ctx, c.data, dataset.Options{Index: dataset.NoIndex})
	if err != nil {
		return &usage.Error{Err: err}
	}
	if err := spareImages("--list", c.list, set); err != nil {
		return err
	}
	found, err := c.look(ctx, set, stderr)
	if err != nil {
		return err
	}
	return c.report(found, stdout)
}

// look decodes every image of the set.
func (c *check) look(ctx context.Context, set *dataset.Set, stderr io.Writer) (*inventory, error) {
	workers := c.workers
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	looks := make([]sight, set.Len())
	var next, done atomic.Int64
	line := bulk.NewLine(stderr)
	defer line.Clear()
	group, ctx := errgroup.WithContext(ctx)
	for range workers {
		group.Go(func() error {
			d := imaging.Decoder{Conversion: c.conversion, Facts: new(imaging.Facts)}
			defer d.Close()
			var m imaging.RGB
			for i := int(next.Add(1)) - 1; i < set.Len(); i = int(next.Add(1)) - 1 {
				if err := ctx.Err(); err != nil {
					return err
				}
				looks[i] = see(set, i, c.files.Limits(), &d, &m)
				n := done.Add(1)
				line.Show(func() string { return fmt.Sprintf("checked %d of %d images", n, set.Len()) })
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return summarise(set, looks, c.conversion.Levels), nil
}

// sight is what was found out about one file.
type sight struct {
	reason   string // why it is bad, "" if it is good
	format   string
	w, h     int
	bytes    int64
	hash     [sha256.Size]byte
	mean, sq [3]float64 // means of the pixels and of their squares, in 0..1
	facts    imaging.Facts
}

func see(set *dataset.Set, i int, limits imaging.Limits, d *imaging.Decoder, m *imaging.RGB) (s sight) {
	data, err := set.ReadFile(i)
	if err != nil {
		s.reason = err.Error()
		return s
	}
	s.bytes, s.hash = int64(len(data)), sha256.Sum256(data)
	if err := d.Decode(m, data, limits); err != nil {
		s.reason = err.Error()
		return s
	}
	info, err := imaging.Probe(bytes.NewReader(data), s.bytes)
	if err != nil {
		s.reason = err.Error()
		return s
	}
	s.format, s.w, s.h, s.facts = info.Format, m.W, m.H, *d.Facts
	s.measure(m)
	return s
}

// measure sums the pixels in integers, which is exact.
func (s *sight) measure(m *imaging.RGB) {
	var sum, sq [3]uint64
	for i := 0; i+2 < len(m.Pix); i += 3 {
		for c := range 3 {
			v := uint64(m.Pix[i+c])
			sum[c] += v
			sq[c] += v * v
		}
	}
	n := float64(m.W * m.H)
	for c := range 3 {
		s.mean[c], s.sq[c] = float64(sum[c])/(255*n), float64(sq[c])/(255*255*n)
	}
}

// report prints the findings; it returns an error if a file is bad.
func (c *check) report(f *inventory, stdout io.Writer) error {
	if c.list != "" {
		if err := whole.WriteFile(c.list, []byte(f.listing())); err != nil {
			return fmt.Errorf("list bad files: %w", err)
		}
	}
	if c.asJSON {
		text, err := json.MarshalIndent(f, "", "  ")
		if err != nil {
			return err
		}
		fmt.Fprintf(stdout, "%s\n", text)
	} else {
		io.WriteString(stdout, f.text())
	}
	if n := len(f.Bad); n > 0 {
		return fmt.Errorf("%d of %d files are bad", n, f.Files)
	}
	return nil
}
