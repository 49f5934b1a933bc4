package indexing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"vicreg/pipeline/bulk"
	"vicreg/pipeline/stats"
	"vicreg/pipeline/usage"
	"vicreg/server/index"
	"vicreg/server/index/near"
	"vicreg/server/index/scan"
)

// alike is the default cosine from which images count as nearly the same. Measured on a ResNet-18
// after one epoch on CIFAR-10: recompressed photographs and those scaled by two keep it, with few
// exceptions, and of 10,000 different images 29 come that close to another. At 0.99 it is 190,
// at 0.98 1,032, and they form long chains.
const alike = 0.995

func runDuplicates(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	f := usage.Flags(stdout, usage.Text{
		Name:     "index duplicates",
		Purpose:  "Find duplicate images: byte-identical files, and images that look nearly the same.",
		Synopsis: "FILE [flags]",
		Examples: []string{
			"vicreg index duplicates photos.index",
			"vicreg index duplicates photos.index --threshold 0.99 --json",
		},
		Notes: `Groups are printed largest first, one image per line: its id, which vicreg index remove
takes, and the path of its file where that does not end in the id. Images count as nearly
the same when the cosine of their vectors, as the model gave them, is at least the
threshold. Each image is within the threshold of at least one other in its group; the
number before it is its cosine to the first. In the second part, byte-identical files are
represented by one of them. How close different images come depends on the model: look at
what a threshold finds before you delete anything. The index may be in use by a server.`,
	})
	d := &duplicates{}
	namespaceFlag(f, &d.namespace)
	f.Float64Var(&d.threshold, "threshold", alike, "lowest `cosine` of images that count as nearly the same")
	asJSON := f.Bool("json", false, "print one JSON object")
	var path string
	if err := usage.Parse(f, args, usage.Positional{Name: "FILE", Value: &path}); err != nil {
		return err
	}
	if !(d.threshold > 0 && d.threshold <= 1) {
		return usage.Errorf("--threshold %v: want more than 0 and at most 1", d.threshold)
	}
	if err := checkNamespace(d.namespace); err != nil {
		return err
	}
	file, err := open(ctx, path, index.Options{ReadOnly: true}, stderr)
	if err != nil {
		return err
	}
	if err = inhabited(file, path, d.namespace); err == nil {
		err = d.load(ctx, file)
	}
	if err = errors.Join(err, file.Close()); err != nil { // frees its memory for what follows
		return err
	}
	line := bulk.NewLine(stderr)
	err = d.find(ctx, func(done int) {
		line.Show(func() string { return fmt.Sprintf("compared %d of %d images", done, d.rows.N) })
	})
	line.Clear()
	if err != nil {
		return err
	}
	if *asJSON {
		return printJSON(stdout, d)
	}
	_, err = io.WriteString(stdout, d.text())
	return err
}

// duplicates is a search for images that occur more than once.
type duplicates struct {
	namespace string
	threshold float64

	leads []copied     // each represents its equals
	rows  stats.Matrix // one row, of length 1, per lead

	Threshold float64    `json:"threshold"`
	Images    int        `json:"images"`
	Equal     [][]copied `json:"equal"` // groups of byte-identical files
	Near      [][]copied `json:"near"`  // groups of images that look nearly the same
}

// copied is an image of a group.
type copied struct {
	ID     string  `json:"id"`
	Source string  `json:"source,omitempty"`
	Cosine float32 `json:"cosine"`           // to the first of the group
	Equals int     `json:"equals,omitempty"` // number of other files with equal bytes
}

// name returns the id of the image, which other commands take, and the path of its file where the
// id does not tell.
func (c copied) name() string {
	if c.Source == "" || c.Source == c.ID || strings.HasSuffix(c.Source, "/"+c.ID) {
		return usage.Printable(c.ID)
	}
	return usage.Printable(c.ID) + "  from " + usage.Printable(c.Source)
}

// load reads the items and groups byte-identical files.
func (d *duplicates) load(ctx context.Context, f *index.File) error {
	d.rows.D = f.Binding().Dim
	first := map[string]int{} // row, by hash
	equal := map[int][]copied{}
	err := each(ctx, f, d.namespace, true, func(it index.Item, total int) error {
		c := copied{ID: it.ID, Source: it.Source, Cosine: 1}
		if row, twice := first[string(it.Hash)]; twice && len(it.Hash) > 0 {
			d.leads[row].Equals++
			equal[row] = append(equal[row], c)
			return nil
		}
		if d.rows.Data == nil {
			d.rows.Data = make([]float32, 0, total*d.rows.D)
		}
		first[string(it.Hash)] = d.rows.N
		d.leads = append(d.leads, c)
		d.rows.Data = append(d.rows.Data, it.Vector...)
		stats.Unit(d.rows.Row(d.rows.N))
		d.rows.N++
		return nil
	})
	if err != nil {
		return err
	}
	d.Equal, d.Near, d.Threshold = [][]copied{}, [][]copied{}, d.threshold
	for row, others := range equal {
		lead := d.leads[row]
		lead.Equals = 0
		d.Equal = append(d.Equal, append([]copied{lead}, others...))
		d.Images += len(others)
	}
	d.Images += d.rows.N
	order(d.Equal)
	return nil
}

// find groups what looks alike.
func (d *duplicates) find(ctx context.Context, progress func(done int)) error {
	joined, err := near.Join(ctx, d.rows, float32(d.threshold), progress)
	if err != nil {
		return err
	}
	groups := map[int][]copied{}
	for row, root := range joined {
		c := d.leads[row]
		c.Cosine = scan.Dot(d.rows.Row(root), d.rows.Row(row))
		groups[root] = append(groups[root], c)
	}
	for _, g := range groups {
		if len(g) > 1 {
			d.Near = append(d.Near, g)
		}
	}
	order(d.Near)
	return nil
}

// order sorts groups, largest first.
func order(groups [][]copied) {
	slices.SortFunc(groups, func(a, b []copied) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a[0].ID, b[0].ID))
	})
}

func (d *duplicates) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s with equal bytes\n", counted(d.Equal))
	for _, g := range d.Equal {
		for _, c := range g {
			fmt.Fprintf(&b, "  %s\n", c.name())
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "%s with a cosine of %v or more\n", counted(d.Near), d.threshold)
	for _, g := range d.Near {
		for _, c := range g {
			fmt.Fprintf(&b, "  %.4f  %s", c.Cosine, c.name())
			if c.Equals > 0 {
				fmt.Fprintf(&b, "  and %d identical to it", c.Equals)
			}
			b.WriteByte('\n')
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func counted(groups [][]copied) string {
	n := 0
	for _, g := range groups {
		n += len(g)
	}
	if len(groups) == 1 {
		return fmt.Sprintf("1 group, %d images in all,", n)
	}
	return fmt.Sprintf("%d groups, %d images in all,", len(groups), n)
}
