package usage

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable returns a name fit for display: unchanged if all its characters are printable,
// otherwise quoted and escaped as a Go string. A file name may contain line breaks and terminal
// control sequences. Output meant for programs carries the name itself.
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

// UTF8 returns a name fit for JSON and other UTF-8 text: unchanged if it is valid UTF-8, otherwise
// quoted as a Go string, since readers of such text drop or reject invalid bytes.
func UTF8(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	return strconv.Quote(name)
}

// Line returns a text as one displayable line: newlines become semicolons, and unprintable
// characters are escaped as in Go. Errors contain file names verbatim.
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
