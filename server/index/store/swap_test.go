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

// What a process reports that has replaced an index while a system call failed.
const (
	saysOld    = "goes on with the old file"
	saysNew    = "goes on with the new file"
	saysClosed = "is closed, and says why"
)

// replaceAndTell puts the second file in place of the first, and reports what it has then.
func replaceAndTell(args []string) error {
	ctx := context.Background()
	s, err := Open(ctx, args[0], Options{})
	if err != nil {
		return err
	}
	other, err := Open(ctx, args[1], Options{})
	if err != nil {
		return err
	}
	fmt.Println(markBegin)
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

// The child stays on one thread, as strace counts calls per thread.
func init() {
	if os.Getenv(childEnv) == "replace-and-tell" {
		runtime.LockOSThread()
	}
}

// watched runs replaceAndTell under strace on two crashed indexes in a folder, with extra
// arguments for strace, and returns its report and the system calls it made.
func watched(t *testing.T, folder string, was, will crashed, what ...string) (says, calls string) {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	old, other, trace := filepath.Join(folder, "x.index"), filepath.Join(folder, "x.index.rebuild"), filepath.Join(folder, "trace")
	was.lay(t, old)
	will.lay(t, other)
	cmd := child(t, "replace-and-tell", old, other)
	cmd.Args = append(append([]string{strace, "-f", "-o", trace}, what...), append([]string{cmd.Path}, cmd.Args[1:]...)...)
	cmd.Path = strace
	text, _ := cmd.CombinedOutput()
	list, err := os.ReadFile(trace)
	if err != nil || len(list) == 0 {
		t.Skipf("strace cannot look at a process: %v %s", err, text)
	}
	_, says, _ = strings.Cut(string(text), markBegin+"\n")
	return strings.TrimSuffix(says, "\n"), string(list)
}

// callsBefore counts the calls that the process makes before it starts to replace.
func callsBefore(t *testing.T, was, will crashed, call string) (n int) {
	t.Helper()
	_, calls := watched(t, t.TempDir(), was, will, "-e", "trace=write,"+call)
	before, _, found := strings.Cut(calls, `"`+markBegin)
	if !found {
		t.Fatalf("the mark is not in the trace:\n%s", calls)
	}
	lines := strings.Split(before, "\n")
	thread, _, _ := strings.Cut(lines[len(lines)-1], " ")
	for _, line := range lines {
		name, _, isCall := strings.Cut(line, "(")
		if isCall && strings.HasPrefix(name, thread+" ") && !strings.HasSuffix(name, " write") && !strings.Contains(name, "resumed") {
			n++
		}
	}
	return n
}

// Each system call that changes names, or opens or syncs files, fails once while an index is
// replaced. The process has what is on the disk, or reports that it has nothing.
func TestReplaceWhileCallsFail(t *testing.T) {
	was, will := crash(t, 0), crash(t, 20)
	said := map[string]int{}
	for _, fault := range []string{"/^rename:EIO", "/^unlink(at)?$:EIO", "/^f(data)?sync$:EIO", "/^open(at)?$:EMFILE"} {
		call, number, _ := strings.Cut(fault, ":")
		for n := callsBefore(t, was, will, call) + 1; ; n++ {
			folder := t.TempDir()
			says, calls := watched(t, folder, was, will, "-e", "trace="+call, "-e", fmt.Sprintf("inject=%s:error=%s:when=%d", call, number, n))
			if !strings.Contains(calls, "INJECTED") { // no such call is left
				break
			}
			s := opened(t, filepath.Join(folder, "x.index"), Options{})
			got := loaded(t, s)
			s.Close()
			said[says]++
			isOld, isNew := reflect.DeepEqual(got, was.rows), reflect.DeepEqual(got, will.rows)
			if !map[string]bool{saysOld: isOld, saysNew: isNew, saysClosed: isOld || isNew}[says] {
				t.Errorf("at %s %d the process said %q, and left %d rows: old %v, new %v", fault, n, says, len(got), isOld, isNew)
			}
		}
	}
	for _, what := range []string{saysOld, saysNew, saysClosed} {
		t.Logf("%d times it %s", said[what], what)
		if said[what] == 0 {
			t.Errorf("no process said %q: are all calls seen?", what)
		}
	}
}

// A store whose new file cannot be opened is closed, and every method says so.
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
		"Apply": s.Apply(ctx, puts(rowOf(0, testDim))), "Get": get, "Meta": meta, "Load": loadAll(s, ctx, nil), "Verify": s.Verify(ctx), "Compact": s.Compact(ctx), "Backup": s.Backup(ctx, bad),
	} {
		if !errors.Is(err, ErrForeign) || errors.Is(err, ErrClosed) || !strings.Contains(err.Error(), "the new file is in place") {
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

// A log that others have filled in the meantime is removed; it is an error only if that fails.
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
