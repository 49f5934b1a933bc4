package dataset

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"vicreg/pipeline/usage"
)

// namedEndings is the number of endings of skipped files that OthersLine lists.
const namedEndings = 5

// ending returns a name's extension in lower case, or "none".
func ending(name string) string {
	return cmp.Or(strings.ToLower(path.Ext(name)), "none")
}

// Others counts the files of a tree that are not in the set because of their ending, by that ending
// in lower case, "none" for names without one. Hidden files are not counted, nor are files in
// folders that were not read; with NoIndex every folder is read.
func (s *Set) Others() map[string]int { return s.others.count }

// OthersLine describes Others in a line, "" when there are none.
func (s *Set) OthersLine() string { return s.others.line() }

// NoImage is the error of a source without an image.
type NoImage struct {
	Source string
	others others
}

func (e *NoImage) Error() string {
	text := fmt.Sprintf("find images: no image in %s (.jpg, .jpeg, .png, .webp, .gif, .tif or .tiff)", e.Source)
	if skipped := e.others.line(); skipped != "" {
		text += ", but " + skipped
	}
	return text
}

// others are the files of a tree that are not images.
type others struct {
	count   map[string]int // by ending
	partial bool           // those in unchanged folders of a saved index are not known
}

func (o others) line() string {
	all := 0
	for _, n := range o.count {
		all += n
	}
	if all == 0 {
		return ""
	}
	endings := slices.SortedFunc(maps.Keys(o.count), func(a, b string) int {
		return cmp.Or(o.count[b]-o.count[a], strings.Compare(a, b))
	})
	var parts []string
	for _, e := range endings[:min(len(endings), namedEndings)] {
		parts = append(parts, fmt.Sprintf("%s %d", usage.Printable(e), o.count[e]))
	}
	if more := len(endings) - namedEndings; more > 0 {
		parts = append(parts, fmt.Sprintf("%d other extensions", more))
	}
	least, files := "", "files"
	if o.partial {
		least = "at least "
	}
	if all == 1 {
		files = "file"
	}
	return fmt.Sprintf("%s%d %s without an image extension (%s)", least, all, files, strings.Join(parts, ", "))
}
