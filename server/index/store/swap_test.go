package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

// What a process says that has replaced an index while a system call failed.
const (
	saysOld    = "goes on with the old file"
	saysNew    = "goes on with the new file"
	saysClosed = "is closed, and says why"
)

// replaceAndTell puts the second file in place of the first, and tells what it has then.
func replaceAndTell(args []string) error {
	runtime.LockOSThread() // calls are counted by thread
	ctx := context.Background()
	s, err := Open(ctx, args[0], Options{})
	if err != nil {
		return err
	}
	other, err := Open(ctx, args[1], Options{})
	if err != nil {
		return err
	}
	failed := s.Replace(ctx, other)
	says, want := saysNew, "id-20"
	if failed != nil {
		says, want = saysOld, "id-0"
	}
	rows, err := s.Get(ctx, []int64{1}, true)
	switch {
	case err != nil && (failed == nil || errors.Is(err, ErrClosed) || !strings.Contains(failed.Error(), s.closed.Error())):
		return fmt.Errorf("after %v: %w", failed, err)
	case err != nil:
		says = saysClosed
	case rows[1].ID != want:
		return fmt.Errorf("after %v it has %s", failed, rows[1].ID)
	}
	fmt.Println(says)
	return nil
}

// Each system call that changes names or opens and syncs files fails once while an
// index is replaced. The process has what is on the disk, or says that it has nothing.
func TestReplaceWhileCallsFail(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	was, will := crash(t, 0), crash(t, 20)
	said := map[string]int{}
	for _, fault := range []string{"/^rename:EIO", "/^unlink(at)?$:EIO", "/^f(data)?sync$:EIO", "/^open(at)?$:EMFILE"} {
		call, number, _ := strings.Cut(fault, ":")
		for n := 1; ; n++ {
			folder := t.TempDir()
			old, other, trace := filepath.Join(folder, "x.index"), filepath.Join(folder, "x.index.rebuild"), filepath.Join(folder, "trace")
			was.lay(t, old)
			will.lay(t, other)
			cmd := child(t, "replace-and-tell", old, other)
			cmd.Args = append([]string{strace, "-f", "-o", trace, "-e", "trace=" + call, "-e", fmt.Sprintf("inject=%s:error=%s:when=%d", call, number, n), cmd.Path}, cmd.Args[1:]...)
			cmd.Path = strace
			text, _ := cmd.CombinedOutput()
			calls, err := os.ReadFile(trace)
			if err != nil {
				t.Skipf("strace cannot let a call fail: %v %s", err, text)
			}
			if !strings.Contains(string(calls), "INJECTED") { // there are no more of them
				break
			}
			s := opened(t, old, Options{})
			got := loaded(t, s)
			isOld, isNew := reflect.DeepEqual(got, was.rows), reflect.DeepEqual(got, will.rows)
			what := strings.TrimSuffix(string(text), "\n")
			said[what]++
			switch {
			case strings.HasPrefix(what, "after"), what == saysOld && !isOld, what == saysNew && !isNew, !isOld && !isNew:
				t.Errorf("at %s %d the process said %q, and left %d rows: old %v, new %v", fault, n, what, len(got), isOld, isNew)
			}
			s.Close()
		}
	}
	for _, what := range []string{saysOld, saysNew, saysClosed} {
		t.Logf("%d times it %s", said[what], what)
		if said[what] == 0 {
			t.Errorf("no process said %q: are all calls seen?", what)
		}
	}
}

// A store whose new file cannot be opened is closed, and says so whatever it is asked.
func TestReplaceByWhatCannotBeOpened(t *testing.T) {
	ctx := context.Background()
	s := made(t, testAbout)
	apply(t, s, puts(rowsOf(0, 3, testDim)...)...)
	bad := s.path + ".bad"
	if err := os.WriteFile(bad, []byte("Dear diary,\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	err := s.alone(ctx, "replace index", func() error {
		moved, err := s.swap(ctx, bad)
		if !moved {
			t.Error("it is still the old file")
		}
		return err
	})
	if !errors.Is(err, ErrForeign) {
		t.Errorf("replaced: %v", err)
	}
	_, get := s.Get(ctx, []int64{1}, true)
	_, meta := s.Meta(ctx, "a")
	for name, err := range map[string]error{
		"Apply": s.Apply(ctx, puts(rowOf(0, testDim))), "Get": get, "Meta": meta, "Load": s.Load(ctx, nil), "Verify": s.Verify(ctx), "Compact": s.Compact(ctx), "Backup": s.Backup(ctx, bad),
	} {
		if !errors.Is(err, ErrForeign) || errors.Is(err, ErrClosed) || !strings.Contains(err.Error(), "the new file is in its place") {
			t.Errorf("%s: %v", name, err)
		}
	}
	wantError(t, s.path, Options{}, ErrInUse)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Verify(ctx); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	wantError(t, s.path, Options{}, ErrForeign)
}

// A log that others have filled meanwhile goes, and is an error only if it cannot.
func TestSettle(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.index")
	if err := os.WriteFile(path+"-wal", []byte("a"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := settle(path); err != nil {
		t.Error(err)
	}
	wantFiles(t, filepath.Dir(path))
	if err := os.MkdirAll(path+"-wal/full", 0o777); err != nil {
		t.Fatal(err)
	}
	if err := settle(path); logSize(path) > 0 && err == nil {
		t.Error("a log is still there, and that is no error")
	}
}
