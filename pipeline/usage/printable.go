package usage

import (
	"strconv"
	"strings"
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

// UTF8 is a name as JSON and other text in UTF-8 may hold it: as it is, or as Printable
// has it where it is not UTF-8, since readers of such text lose or refuse other bytes.
func UTF8(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	return strconv.Quote(name)
}

// Line is a text in one line as people may see it: lines are joined by semicolons, and
// what cannot be printed is escaped as in Go. Errors quote names of files as they are.
func Line(text string) string {
	var b strings.Builder
	for text = strings.ReplaceAll(strings.TrimSpace(text), "\n", "; "); text != ""; {
		r, size := utf8.DecodeRuneInString(text)
		if unicode.IsPrint(r) && (r != utf8.RuneError || size > 1) {
			b.WriteString(text[:size])
		} else {
			escaped := strconv.Quote(text[:size])
			b.WriteString(escaped[1 : len(escaped)-1])
		}
		text = text[size:]
	}
	return b.String()
}
