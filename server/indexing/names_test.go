package indexing

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
)

// Names of files and fields cannot send escape sequences to a terminal: neither where they are
// listed, nor in an error.
func TestNamesOnATerminal(t *testing.T) {
	const red = "\x1b[31m"
	dir := filepath.Join(t.TempDir(), red+"photos")
	for _, name := range []string{"a.png", "b.png"} {
		put(t, filepath.Join(dir, name), filled(t, 9, 8, 7))
	}
	put(t, filepath.Join(dir, red+".png"), filled(t, 1, 2, 3)) // ids have no control characters
	put(t, filepath.Join(dir, "noise.png"), []byte("noise"))
	rows := filepath.Join(dir, red+".jsonl")
	put(t, rows, []byte(`{"id": "a.png", "\u001b[31mfield": 1}`+"\n"+`{"id": "\u001b[31mother"}`+"\n"))
	file, model := filepath.Join(dir, red+".index"), colour(t, 255)

	var all strings.Builder
	plain := func(text string) {
		t.Helper()
		all.WriteString(text)
		if strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' }) {
			t.Errorf("control characters in %q", text)
		}
	}
	plain(said(t, "add", dir, "--index", file, "--model", model, "--metadata", rows))
	plain(said(t, "info", file))
	plain(said(t, "check", file))
	plain(said(t, "compact", file))
	plain(said(t, "duplicates", file))
	plain(copied{ID: "7", Source: dir + "/b.png"}.name() + "\n")
	plain(said(t, "backup", file, "-o", file+".copy"))
	plain(said(t, "export", file, "-o", file+".jsonl"))
	_, _, err := run(t.Context(), "export", file, "-o", file+".jsonl")
	plain(fmt.Sprint(err))
	_, _, err = run(t.Context(), "backup", file, "-o", file+".copy")
	plain(fmt.Sprint(err))
	put(t, rows, []byte(`{"id": "\u001b[31mother"}`+"\n"+`{"id": "\u001b[31mother"}`+"\n"))
	_, _, err = run(t.Context(), "add", dir, "--index", file, "--model", model, "--metadata", rows)
	plain(fmt.Sprint(err))
	if err := os.Remove(filepath.Join(dir, "a.png")); err != nil {
		t.Fatal(err)
	}
	plain(said(t, "add", dir, "--index", file, "--model", model))
	want(t, all.String(), `bad        "\x1b[31m.png": the id "\x1b[31m.png" has control characters`, `"\x1b[31mother"`, `with "\x1b[31mfield"`,
		`\x1b[31mphotos/b.png"`, "bad        noise.png: not a JPEG", "gone       a.png")
}
