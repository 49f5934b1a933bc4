package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// reopenAs puts another descriptor of the file in place of all those that write to it: with
// os.O_RDONLY, SQLite's writes to it fail from then on, while those to the log do not.
func reopenAs(t *testing.T, path string, flag int) {
	t.Helper()
	names, err := filepath.Glob("/proc/self/fd/*")
	if err != nil || len(names) == 0 {
		t.Skip("there is no /proc")
	}
	swapped := 0
	for _, name := range names {
		var fd int
		if to, err := os.Readlink(name); err != nil || to != path {
			continue
		}
		if _, err := fmt.Sscanf(filepath.Base(name), "%d", &fd); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, flag|syscall.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Dup3(int(f.Fd()), fd, syscall.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		f.Close()
		swapped++
	}
	if swapped == 0 {
		t.Fatalf("nobody has %s open", path)
	}
}

// A checkpoint that fails is reported, whether it is due because the log has many pages or
// because it has grown too long. Changes go on, and the next checkpoint that succeeds makes up
// for it.
func TestCheckpointFails(t *testing.T) {
	for name, prepare := range map[string]func(w *writer){
		"advance": func(*writer) {},
		"drain":   func(w *writer) { w.limit = 1 << 20 },
	} {
		t.Run(name, func(t *testing.T) {
			var failed []error
			const dim = 2000
			s := opened(t, filepath.Join(t.TempDir(), "x.index"), Options{Create: true, About: About{Fingerprint: "f", Dim: dim},
				CheckpointFailed: func(err error) { failed = append(failed, err) }})
			rows := puts(rowsOf(0, 100, dim)...)
			apply(t, s, rows...)
			prepare(s.writer)
			reopenAs(t, s.path, os.O_RDONLY)
			for n := 1; n < 60 && len(failed) == 0; n++ {
				apply(t, s, puts(rowsOf(100*n, 100*n+100, dim)...)...)
			}
			if len(failed) == 0 || meaning(failed[0]) != nil || errors.Is(failed[0], ErrInUse) {
				t.Fatalf("reported: %v; the log has %d bytes", failed, logSize(s.path))
			}
			reopenAs(t, s.path, os.O_RDWR)
			failed = nil
			if err := s.writer.checkpoint(); err != nil {
				t.Fatal(err)
			}
			apply(t, s, rows...)
			if len(failed) > 0 {
				t.Error(failed)
			}
			if err := s.Verify(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
}

// A reader that keeps the log from being emptied is no failure.
func TestReaderIsNoFailure(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "x.index"), Options{Create: true, About: testAbout,
		CheckpointFailed: func(err error) { t.Errorf("reported: %v", err) }})
	rows := puts(rowsOf(0, 100, testDim)...)
	apply(t, s, rows...)
	s.writer.limit = 1 << 19
	if err := run(s.writer.conn, "PRAGMA busy_timeout = 0"); err != nil {
		t.Fatal(err)
	}
	err := loadAll(s, context.Background(), func(*Row) error {
		apply(t, s, rows...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.writer.limit <= 1<<19 {
		t.Error("the log was never to be emptied")
	}
}

// The log goes on to be moved into the file after that has been replaced.
func TestCheckpointFailsAfterCompact(t *testing.T) {
	var failed error
	s := opened(t, filepath.Join(t.TempDir(), "x.index"), Options{Create: true, About: testAbout, CheckpointFailed: func(err error) { failed = err }})
	if err := s.Compact(context.Background()); err != nil {
		t.Fatal(err)
	}
	apply(t, s, puts(rowsOf(0, 10, testDim)...)...)
	s.writer.limit = 1
	reopenAs(t, s.path, os.O_RDONLY)
	apply(t, s, puts(rowsOf(0, 10, testDim)...)...)
	reopenAs(t, s.path, os.O_RDWR)
	if failed == nil {
		t.Error("nothing is reported")
	}
}
