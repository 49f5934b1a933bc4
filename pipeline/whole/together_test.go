package whole

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// namesOf lists the files in a folder with their contents.
func namesOf(t *testing.T, folder string) string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		text := "a folder"
		if !e.IsDir() {
			b, err := os.ReadFile(filepath.Join(folder, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			text = string(b)
		}
		names = append(names, e.Name()+"="+text)
	}
	return strings.Join(names, " ")
}

func fill(t *testing.T, dir, text string, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// parts are three files with the same text, one of which fails.
func parts(text, failing string, err error) []Part {
	var all []Part
	for _, ending := range []string{"", ".json", ".paths"} {
		p := Part{Ending: ending, Write: put(text, nil)}
		if "v"+ending == failing {
			p.Write = put("half", err)
		}
		all = append(all, p)
	}
	return all
}

// Whichever file fails, the old files are all there and nothing else is.
func TestTogether(t *testing.T) {
	dir, full := t.TempDir(), errors.New("disk is full")
	path := filepath.Join(dir, "v")
	for _, failing := range []string{"v", "v.json", "v.paths"} {
		err := Together(path, parts("none", failing, full)...)
		if !errors.Is(err, full) || !strings.HasPrefix(err.Error(), "write "+filepath.Join(dir, failing)+": ") || namesOf(t, dir) != "" {
			t.Errorf("%s fails in an empty folder: %v, left %s", failing, err, namesOf(t, dir))
		}
	}
	fill(t, dir, "old", "v", "v.json") // and no v.paths
	for _, failing := range []string{"v", "v.json", "v.paths"} {
		if err := Together(path, parts("none", failing, full)...); !errors.Is(err, full) || namesOf(t, dir) != "v=old v.json=old" {
			t.Errorf("%s fails: %v, left %s", failing, err, namesOf(t, dir))
		}
	}
	if err := Together(path, parts("new", "", nil)...); err != nil || namesOf(t, dir) != "v=new v.json=new v.paths=new" {
		t.Errorf("%v, left %s", err, namesOf(t, dir))
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := Together(filepath.Join(dir, "none", "v"), parts("new", "", nil)...); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a folder: %v", err)
	}
}

// A folder in the place of one of the files is not replaced.
func TestTogetherOverAFolder(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, "old", "v", "v.json")
	if err := os.Mkdir(filepath.Join(dir, "v.paths"), 0o777); err != nil {
		t.Fatal(err)
	}
	err := Together(filepath.Join(dir, "v"), parts("new", "", nil)...)
	if err == nil || !strings.Contains(err.Error(), "v.paths is a folder") || namesOf(t, dir) != "v=old v.json=old v.paths=a folder" {
		t.Errorf("%v, left %s", err, namesOf(t, dir))
	}
}

// A pipe in the place of the first file is written to, once the others are ready, and stays a pipe.
func TestTogetherWithAPipe(t *testing.T) {
	dir, full := t.TempDir(), errors.New("disk is full")
	path := filepath.Join(dir, "v")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip("this system makes no pipes:", err)
	}
	if err := Together(path, parts("nobody reads this", "v.json", full)...); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
	read := make(chan string)
	go func() {
		f, err := os.Open(path)
		if err != nil {
			read <- err.Error()
			return
		}
		defer f.Close()
		text, _ := io.ReadAll(f)
		read <- string(text)
	}()
	if err := Together(path, parts("new", "", nil)...); err != nil {
		t.Error(err)
	}
	if got := <-read; got != "new" {
		t.Errorf("read %q", got)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Type() != os.ModeNamedPipe {
		t.Errorf("the pipe became %v, %v", info.Mode(), err)
	}
}

func TestExchange(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	endings := []string{"", ".json", ".paths"}
	fill(t, from, "new", "v", "v.json", "v.paths")
	fill(t, to, "old", "v", "v.json")
	if err := exchange(from, to, "v", endings); err != nil || namesOf(t, to) != "v=new v.json=new v.paths=new" {
		t.Errorf("got %s, %v", namesOf(t, to), err)
	}
	again := t.TempDir()
	fill(t, again, "newer", "v", "v.paths") // and no v.json
	if err := exchange(again, to, "v", endings); !errors.Is(err, os.ErrNotExist) || namesOf(t, to) != "v=new v.json=new v.paths=new" {
		t.Errorf("after a failure: %s, %v", namesOf(t, to), err)
	}
	if got := namesOf(t, again); got != "v=newer v.paths=newer" {
		t.Errorf("left %s", got)
	}
}
