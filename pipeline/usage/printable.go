package usage

import (
	"strconv"
	"unicode"
	"unicode/utf8"
)

// Printable is a name as people may see it: as it is when each of its letters can be
// printed, else in double quotes and escaped as in Go. A file's name may hold line
// breaks, and bytes that a terminal takes for orders. What programs read has the
// name itself.
func Printable(name string) string {
	for _, r := range name {
		if !unicode.IsPrint(r) {
			return strconv.Quote(name)
		}
	}
	if !utf8.ValidString(name) {
		return strconv.Quote(name)
	}
	return name
}
