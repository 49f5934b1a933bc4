package usage

import (
	"strconv"
	"testing"
	"unicode/utf8"
)

func TestPrintable(t *testing.T) {
	for name, want := range map[string]string{
		"":                       "",
		"cats/a b.jpg":           "cats/a b.jpg",
		"Käse/日本語/🐈.png":         "Käse/日本語/🐈.png",
		`say "cheese".jpg`:       `say "cheese".jpg`,
		`back\slash.jpg`:         `back\slash.jpg`,
		"\uFFFD.jpg":             "\uFFFD.jpg",
		"two\nlines.jpg":         `"two\nlines.jpg"`,
		"tab\t.jpg":              `"tab\t.jpg"`,
		"\x1b[2Jgone.jpg":        `"\x1b[2Jgone.jpg"`,
		"\x1b]0;\"title\"\a.jpg": `"\x1b]0;\"title\"\a.jpg"`,
		"latin1 \xe9.jpg":        `"latin1 \xe9.jpg"`,
		"c1 \u009b31m.jpg":       `"c1 \u009b31m.jpg"`,
		"turned \u202egpj.exe":   `"turned \u202egpj.exe"`,
		"\x7f":                   `"\x7f"`,
	} {
		got := Printable(name)
		if got != want {
			t.Errorf("%q: got %s, want %s", name, got, want)
		}
		if inJSON := UTF8(name); inJSON != name && (inJSON != got || utf8.ValidString(name)) || !utf8.ValidString(inJSON) {
			t.Errorf("%q in JSON: %s", name, inJSON)
		}
		if back, err := strconv.Unquote(got); got != name && (err != nil || back != name) {
			t.Errorf("%q comes back as %q, %v", name, back, err)
		}
	}
}

func TestLine(t *testing.T) {
	for text, want := range map[string]string{
		"":                                     "",
		"open a b.jpg: no such file\n":         "open a b.jpg: no such file",
		"one\ntwo":                             "one; two",
		`say "cheese" of c:\日本語`:               `say "cheese" of c:\日本語`,
		"open \x1b[2J\u009b\xe9\t\u202e: gone": `open \x1b[2J\u009b\xe9\t\u202e: gone`,
		"\uFFFD":                               "\uFFFD",
	} {
		if got := Line(text); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}
