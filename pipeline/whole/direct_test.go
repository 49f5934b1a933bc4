package whole

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Writing to a pipe goes through it and leaves it a pipe.
func TestWriteToAPipe(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip("this system makes no pipes:", err)
	}
	read := make(chan string)
	go func() {
		text, err := os.ReadFile(path)
		read <- fmt.Sprint(string(text), err)
	}()
	if err := Write(path, put("through", nil)); err != nil {
		t.Error(err)
	}
	if got := <-read; got != "through<nil>" {
		t.Errorf("read %s", got)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 || entries[0].Type() != os.ModeNamedPipe {
		t.Errorf("the folder holds %v, %v", entries, err)
	}
}

// A file that is already open is continued, and stays open.
func TestWriteToWhatIsOpen(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	path := fmt.Sprintf("/dev/fd/%d", f.Fd())
	if _, err := os.Stat(path); err != nil {
		t.Skip("this system has no such names:", err)
	}
	broken := errors.New("broken")
	io.WriteString(f, "before, ")
	if err := Write(path, put("this, ", nil)); err != nil {
		t.Error(err)
	}
	if err := Write(path, put("lost", broken)); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	io.WriteString(f, "after")
	if got, err := os.ReadFile(f.Name()); err != nil || string(got) != "before, this, after" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestDirect(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{"/dev/null": true, "/dev/../dev/stdout": true, "/dev/fd/2": true, "/dev/fd/9999999": false,
		"/dev/stdout.txt": false, file: false, dir: false, filepath.Join(dir, "none"): false} {
		if Direct(path) != want {
			t.Errorf("%s: %v", path, !want)
		}
	}
	if err := Write("/dev/null", put("x", nil)); err != nil {
		t.Error(err)
	}
}
