package pipeline

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"vicreg/pipeline/dataset"
	"vicreg/pipeline/imaging"
	"vicreg/pipeline/usage"
)

// inventory is the result of checking a data set. Names in it are for JSON, and escaped if they are
// not UTF-8.
type inventory struct {
	Files      int            `json:"files"`
	Good       int            `json:"good"`
	Bytes      int64          `json:"bytes"`
	Formats    map[string]int `json:"formats"`
	Folders    map[string]int `json:"folders"` // files per top-level folder; empty without folders
	Width      spread         `json:"width"`   // pixels
	Height     spread         `json:"height"`
	Aspect     spread         `json:"aspect_ratio"` // width over height
	Mean       [3]float64     `json:"mean"`         // of the good images' pixels, 0..1, each image weighted equally
	Std        [3]float64     `json:"std"`
	Deep       depth          `json:"sixteen_bits"` // images with 16 bits a channel
	Clear      int            `json:"transparent"`  // images with a pixel that is not opaque
	Bad        []dataset.Bad  `json:"bad"`
	Duplicates [][]string     `json:"duplicates"` // groups of byte-identical files

	Others map[string]int `json:"skipped"` // files skipped because of their names, by extension
	others string         // the same in words

	levels imaging.Levels // used for decoding
}

// spread holds quantiles.
type spread struct {
	Min    float64 `json:"min"`
	P05    float64 `json:"p05"`
	Median float64 `json:"median"`
	P95    float64 `json:"p95"`
	Max    float64 `json:"max"`
}

func spreadOf(xs []float64) spread {
	if len(xs) == 0 {
		return spread{}
	}
	slices.Sort(xs)
	at := func(p float64) float64 { return xs[int(math.Round(p*float64(len(xs)-1)))] }
	return spread{at(0), at(0.05), at(0.5), at(0.95), at(1)}
}

// summarise combines the findings on the files of a set.
func summarise(set *dataset.Set, looks []sight, levels imaging.Levels) *inventory {
	f := &inventory{Files: len(looks), Others: set.Others(), others: set.OthersLine(), levels: levels, Formats: map[string]int{}, Folders: map[string]int{}, Bad: []dataset.Bad{}}
	if f.Others == nil {
		f.Others = map[string]int{}
	}
	var widths, heights, ratios []float64
	var mean, sq [3]float64
	for i, s := range looks {
		f.Bytes += s.bytes
		if label := set.Label(i); label != "" {
			f.Folders[usage.UTF8(label)]++
		}
		if s.reason != "" {
			f.Bad = append(f.Bad, dataset.Bad{Key: usage.UTF8(set.Key(i)), Reason: usage.UTF8(s.reason)})
			continue
		}
		f.Good++
		f.Formats[s.format]++
		f.Deep.add(s.facts, levels)
		if s.facts.Transparent {
			f.Clear++
		}
		widths, heights = append(widths, float64(s.w)), append(heights, float64(s.h))
		ratios = append(ratios, float64(s.w)/float64(s.h))
		for c := range 3 {
			mean[c] += s.mean[c]
			sq[c] += s.sq[c]
		}
	}
	f.Width, f.Height, f.Aspect = spreadOf(widths), spreadOf(heights), spreadOf(ratios)
	if f.Good > 0 {
		for c := range 3 {
			f.Mean[c] = mean[c] / float64(f.Good)
			f.Std[c] = math.Sqrt(max(0, sq[c]/float64(f.Good)-f.Mean[c]*f.Mean[c]))
		}
	}
	f.Duplicates = duplicates(set, looks)
	return f
}

// duplicates groups byte-identical files, ordered by the first file of each group. Empty files are
// bad and not counted as duplicates.
func duplicates(set *dataset.Set, looks []sight) [][]string {
	first := map[[32]byte]int{}
	groups := map[int][]string{}
	for i, s := range looks {
		if s.bytes == 0 {
			continue
		}
		j, seen := first[s.hash]
		if !seen {
			first[s.hash] = i
			continue
		}
		if groups[j] == nil {
			groups[j] = []string{usage.UTF8(set.Key(j))}
		}
		groups[j] = append(groups[j], usage.UTF8(set.Key(i)))
	}
	out := [][]string{}
	for _, j := range slices.Sorted(maps.Keys(groups)) {
		out = append(out, groups[j])
	}
	return out
}

// shown is the maximum of bad files, folders or groups printed; --list has them all.
const shown = 10

func (f *inventory) text() string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-13s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("files", "%d, %.1f MB", f.Files, float64(f.Bytes)/1e6)
	if f.others != "" {
		line("skipped", "%s", f.others)
	}
	line("good", "%d (%s)", f.Good, counts(f.Formats, len(f.Formats)))
	if len(f.Folders) > 0 {
		line("folders", "%d (%s)", len(f.Folders), counts(f.Folders, shown))
	}
	if f.Good > 0 {
		f.pixels(line)
	}
	line("bad", "%d", len(f.Bad))
	for _, bad := range first(f.Bad) {
		line("", "%s: %s", usage.Printable(bad.Key), usage.Printable(bad.Reason))
	}
	rest := func(n int) {
		if n > shown {
			line("", "and %d more", n-shown)
		}
	}
	rest(len(f.Bad))
	line("duplicates", "%s", f.copies())
	for _, g := range first(f.Duplicates) {
		more := ""
		if len(g) > shown {
			more = fmt.Sprintf(" and %d more", len(g)-shown)
		}
		line("", "%s%s", strings.Join(printable(first(g)), " = "), more)
	}
	rest(len(f.Duplicates))
	return b.String()
}

// copies counts the files that have duplicates, and how many of those are redundant.
func (f *inventory) copies() string {
	files, groups := 0, "groups"
	for _, g := range f.Duplicates {
		files += len(g)
	}
	switch len(f.Duplicates) {
	case 0:
		return "0"
	case 1:
		groups = "group"
	}
	return fmt.Sprintf("%d byte-identical files in %d %s, %d of them copies", files, len(f.Duplicates), groups, files-len(f.Duplicates))
}

func (f *inventory) pixels(line func(name, format string, args ...any)) {
	quantiles := func(name string, s spread, digits int) {
		line(name, "median %.*f, 5th to 95th percentile %.*f to %.*f, min %.*f, max %.*f",
			digits, s.Median, digits, s.P05, digits, s.P95, digits, s.Min, digits, s.Max)
	}
	quantiles("width", f.Width, 0)
	quantiles("height", f.Height, 0)
	quantiles("aspect ratio", f.Aspect, 2)
	line("mean and std", "--augment mean=%.4f:%.4f:%.4f,std=%.4f:%.4f:%.4f",
		f.Mean[0], f.Mean[1], f.Mean[2], f.Std[0], f.Std[1], f.Std[2])
	if f.Clear > 0 {
		line("transparency", "%d images; see --background", f.Clear)
	}
	if d := f.Deep; d.Images > 0 {
		line("16 bits", "%d images, values from %d to %d, 99 %% of each image within %d to %d", d.Images, d.Low, d.High, d.Inner[0], d.Inner[1])
		if w := d.warning(f.levels); w != "" {
			line("", "%s", w)
		}
	}
}

// listing is every bad file with its reason and every group of duplicates, one per line with
// tab-separated fields; usage.Printable ensures that no field contains a tab.
func (f *inventory) listing() string {
	var b strings.Builder
	for _, bad := range f.Bad {
		fmt.Fprintf(&b, "bad\t%s\t%s\n", usage.Printable(bad.Key), usage.Printable(bad.Reason))
	}
	for _, g := range f.Duplicates {
		fmt.Fprintf(&b, "duplicates\t%s\n", strings.Join(printable(g), "\t"))
	}
	return b.String()
}

// counts formats at most n names, most frequent first.
func counts(m map[string]int, n int) string {
	names := slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(cmp.Compare(m[b], m[a]), strings.Compare(a, b))
	})
	var parts []string
	for i, name := range names {
		if i == n {
			parts = append(parts, fmt.Sprintf("%d more", len(names)-n))
			break
		}
		parts = append(parts, fmt.Sprintf("%s %d", usage.Printable(name), m[name]))
	}
	return strings.Join(parts, ", ")
}

func printable(names []string) []string {
	shown := make([]string, len(names))
	for i, n := range names {
		shown[i] = usage.Printable(n)
	}
	return shown
}

func first[T any](xs []T) []T { return xs[:min(len(xs), shown)] }
