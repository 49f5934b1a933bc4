package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

const faultSteps = 9

// faultStep is the n-th change of a history of small ones, some of which write a single page.
func faultStep(s *Store, n int) error {
	ctx := context.Background()
	switch n % 3 {
	case 0:
		return s.Apply(ctx, puts(rowOf(n, testDim)))
	case 1:
		return s.SetMeta(ctx, fmt.Sprintf("step-%d", n), []byte("done"))
	}
	return s.Apply(ctx, []Change{{Row: Row{Namespace: "default", ID: fmt.Sprintf("id-%d", n-2)}, Delete: true}})
}

// stepHolds reports whether the effect of faultStep n can be seen.
func stepHolds(t *testing.T, s *Store, n int) bool {
	t.Helper()
	ids := map[string]bool{}
	for _, r := range loaded(t, s) {
		ids[r.ID] = true
	}
	switch n % 3 {
	case 0:
		return ids[fmt.Sprintf("id-%d", n)]
	case 1:
		value, err := s.Meta(context.Background(), fmt.Sprintf("step-%d", n))
		if err != nil {
			t.Fatal(err)
		}
		return value != nil
	}
	return !ids[fmt.Sprintf("id-%d", n-2)]
}

// stepOn makes the changes of a history, prints how each has ended, and dies without closing the
// index: after the last step or, if asked to, after the first that has failed.
func stepOn(args []string) error {
	runtime.LockOSThread() // strace counts calls per thread
	s, err := Open(context.Background(), args[0], Options{})
	if err != nil {
		return err
	}
	for n := range faultSteps {
		err := faultStep(s, n)
		switch {
		case err == nil:
			fmt.Println("done", n)
		case errors.Is(err, ErrUnsure):
			fmt.Println("unsure", n)
		default:
			fmt.Println("failed", n)
		}
		if err != nil && args[1] == atFirst {
			break
		}
	}
	return syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

// When stepOn ends.
const (
	atFirst = "at the first failure"
	atLast  = "after the last step"
)

// faulty makes a new index and runs stepOn for it, while strace makes some syncs of its log fail:
// the one numbered n, for example, or with "n+" all from that one on. It returns the steps by how
// they have ended, and the index as it is after the crash.
func faulty(t *testing.T, when, until string) (ended map[string][]int, s *Store) {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	path := filepath.Join(t.TempDir(), "x.index")
	opened(t, path, Options{About: testAbout, Create: true}).Close()
	cmd := child(t, "step-on", path, until)
	calls := "/^f(data)?sync$"
	cmd.Args = append([]string{strace, "-f", "-o", os.DevNull, "-P", path + walSuffix, "-e", "trace=" + calls, "-e", "inject=" + calls + ":error=EIO:when=" + when, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = strace
	text, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && strings.Contains(string(exit.Stderr), "ptrace") {
		t.Skipf("strace may not trace: %s", exit.Stderr)
	}
	ended = map[string][]int{}
	for line := range strings.Lines(string(text)) {
		var how string
		var n int
		if _, err := fmt.Sscan(line, &how, &n); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		ended[how] = append(ended[how], n)
	}
	if n := strings.Count(string(text), "\n"); n == 0 || until == atLast && n != faultSteps {
		t.Fatalf("the child made %d steps: %q, %v", n, text, err)
	}
	return ended, opened(t, path, Options{})
}

// wantSteps checks that of the steps exactly those that are acknowledged can be seen; one whose
// outcome is unknown may.
func wantSteps(t *testing.T, when string, s *Store, ended map[string][]int, unsure ...int) {
	t.Helper()
	for n := range faultSteps {
		if n%3 == 2 && !slices.Contains(ended["done"], n-2) || slices.Contains(unsure, n) {
			continue // a removed row that never was looks the same
		}
		if done := slices.Contains(ended["done"], n); stepHolds(t, s, n) != done && !laterRemoved(ended, n, unsure) {
			t.Errorf("syncs fail at %s: after a crash step %d is there: %v; it was acknowledged: %v; %v", when, n, !done, done, ended)
		}
	}
	if err := s.Verify(context.Background()); err != nil {
		t.Error(err)
	}
}

// laterRemoved reports whether a row that a step has put may be removed by a later one.
func laterRemoved(ended map[string][]int, n int, unsure []int) bool {
	return n%3 == 0 && (slices.Contains(ended["done"], n+2) || slices.Contains(unsure, n+2))
}

// A change that fails because the log cannot be synced once does not come into effect after a
// crash, although all of it is in the log.
func TestFailedSyncThenCrash(t *testing.T) {
	failures := 0
	for n := 1; ; n++ {
		ended, s := faulty(t, fmt.Sprint(n), atFirst)
		wantSteps(t, fmt.Sprint(n), s, ended)
		s.Close()
		if len(ended["unsure"]) > 0 {
			t.Errorf("sync %d: %v, although the log could be mended", n, ended)
		}
		if len(ended["failed"]) == 0 {
			break
		}
		failures++
	}
	if failures < faultSteps {
		t.Errorf("%d syncs have failed: does strace see them?", failures)
	}
}

// While the log cannot be synced at all, only the first change that fails may come into effect
// after a crash, and its error says so. The others are refused.
func TestSyncsFailThenCrash(t *testing.T) {
	for n := 2; ; n += 3 {
		when := fmt.Sprintf("%d+", n)
		ended, s := faulty(t, when, atLast)
		if len(ended["failed"]) == 0 && len(ended["unsure"]) == 0 {
			if n < faultSteps {
				t.Errorf("there are only %d syncs", n)
			}
			return
		}
		wantSteps(t, when, s, ended, ended["unsure"]...)
		s.Close()
		if u := ended["unsure"]; len(u) != 1 || len(ended["failed"]) > 0 && u[0] > ended["failed"][0] {
			t.Errorf("syncs fail at %s: %v", when, ended)
		}
	}
}

// Once the log can be written again, the change whose outcome was unknown is undone for good, and
// further ones are made.
func TestSyncsFailForAWhile(t *testing.T) {
	for n := 2; n < faultSteps; n += 3 {
		when := fmt.Sprintf("%d..%d", n, n+2)
		ended, s := faulty(t, when, atLast)
		wantSteps(t, when, s, ended)
		s.Close()
		if len(ended["unsure"]) != 1 || !slices.Contains(ended["done"], faultSteps-1) {
			t.Errorf("syncs fail at %s: %v", when, ended)
		}
	}
}
