package whole

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func put(text string, err error) func(io.Writer) error {
	return func(w io.Writer) error {
		_, failed := io.WriteString(w, text)
		return errors.Join(err, failed)
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path, broken := filepath.Join(dir, "f"), errors.New("broken")
	content := func(want string) {
		t.Helper()
		got, err := os.ReadFile(path)
		if err != nil || string(got) != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 1 {
			t.Errorf("the folder holds %v, %v", entries, err)
		}
	}
	if err := Write(path, put("first", nil)); err != nil {
		t.Fatal(err)
	}
	content("first")
	if err := Write(path, put("half", broken)); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	content("first")
	if err := WriteFile(path, []byte("second")); err != nil {
		t.Fatal(err)
	}
	content("second")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := Write(filepath.Join(dir, "none", "f"), put("", nil)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a folder: %v", err)
	}
}
