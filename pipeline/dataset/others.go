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
func (s *Set) Others() map[string]int { return s.others }

// OthersLine describes Others in a line, "" when there are none.
func (s *Set) OthersLine() string {
	all := 0
	for _, n := range s.others {
		all += n
	}
	if all == 0 {
		return ""
	}
	endings := slices.SortedFunc(maps.Keys(s.others), func(a, b string) int {
		return cmp.Or(s.others[b]-s.others[a], strings.Compare(a, b))
	})
	var parts []string
	for _, e := range endings[:min(len(endings), namedEndings)] {
		parts = append(parts, fmt.Sprintf("%s %d", usage.Printable(e), s.others[e]))
	}
	if more := len(endings) - namedEndings; more > 0 {
		parts = append(parts, fmt.Sprintf("%d other endings", more))
	}
	files := "files"
	if all == 1 {
		files = "file"
	}
	return fmt.Sprintf("%d %s with other endings than those of images (%s)", all, files, strings.Join(parts, ", "))
}
