package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"
	"testing"
)

const killDim = 200

// change makes the n-th change of a history: of one row or many, new ones, others in
// their place, and removals.
func change(n int) (changes []Change) {
	rng := rand.New(rand.NewPCG(uint64(n), 7))
	size := 1
	if n%3 == 0 {
		size = 1 + rng.IntN(100)
	}
	for range size {
		c := Change{Row: rowOf(n, killDim), Delete: rng.IntN(5) == 0}
		c.ID = fmt.Sprintf("id-%d", rng.IntN(300))
		changes = append(changes, c)
	}
	return changes
}

// after is what an index holds after the changes before the n-th, without keys.
func after(n int) map[string]Row {
	rows := map[string]Row{}
	for i := range n {
		for _, c := range change(i) {
			if delete(rows, c.ID); !c.Delete {
				rows[c.ID] = c.Row
			}
		}
	}
	return rows
}

func held(t *testing.T, s *Store) map[string]Row {
	t.Helper()
	rows := map[string]Row{}
	for _, r := range loaded(t, s) {
		r.Key = 0
		rows[r.ID] = r
	}
	return rows
}

// keepOn goes through the history from a change on, and prints the number of each when
// it has returned. Now and then it compacts.
func keepOn(args []string) error {
	ctx := context.Background()
	from, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	s, err := Open(ctx, args[0], Options{})
	if err != nil {
		return err
	}
	for n := from; ; n++ {
		if err := s.Apply(ctx, change(n)); err != nil {
			return err
		}
		fmt.Println(n)
		if n%40 == 20 {
			if err := s.Compact(ctx); err != nil {
				return err
			}
		}
	}
}

// killAfter starts keepOn and kills it when it has acknowledged some changes. It
// returns the number of the last one.
func killAfter(t *testing.T, path string, from, acks int) int {
	t.Helper()
	cmd := child(t, "keep-on", path, strconv.Itoa(from))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	last := from - 1
	for lines := bufio.NewScanner(out); lines.Scan(); {
		n, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Fatal(lines.Text())
		}
		last = n
		if n-from+1 == acks {
			cmd.Process.Kill()
		}
	}
	if err := cmd.Wait(); last < from+acks-1 {
		t.Fatalf("the child ended by itself: %v", err)
	}
	return last
}

// Whenever its process is killed, an index has every change that was acknowledged, at
// most the one under way besides, and each whole.
func TestKill(t *testing.T) {
	s := made(t, About{Fingerprint: "f", Dim: killDim})
	s.Close()
	rng := rand.New(rand.NewPCG(8, 9))
	next := 0
	for range repeats(t, 4) {
		next = killAfter(t, s.path, next, 1+rng.IntN(90)) + 1
		s := opened(t, s.path, Options{})
		got := held(t, s)
		if !reflect.DeepEqual(got, after(next)) {
			if next++; !reflect.DeepEqual(got, after(next)) {
				t.Fatalf("%d changes were acknowledged, and the %d rows are not what they make", next-1, len(got))
			}
		}
		if err := errors.Join(s.Verify(context.Background()), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d changes", next)
}

// A process that replaces an index is killed at each of its system calls that change
// something on the disk. The index is the old one or the new one.
func TestKillWhileReplacing(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	was, will := crash(t, 0), crash(t, 20)
	kills, news := 0, 0
	for _, call := range []string{"/^rename", "/^unlink", "/^f(data)?sync$", "ftruncate"} {
		for n := 1; ; n++ {
			folder := t.TempDir()
			old, other := filepath.Join(folder, "x.index"), filepath.Join(folder, "x.index.rebuild")
			was.lay(t, old)
			will.lay(t, other)
			cmd := child(t, "replace", old, other)
			cmd.Args = append([]string{strace, "-f", "-o", os.DevNull, "-e", "trace=" + call, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", call, n), cmd.Path}, cmd.Args[1:]...)
			cmd.Path = strace
			text, err := cmd.CombinedOutput()
			if len(text) > 0 {
				t.Skipf("strace cannot kill a process at a call: %v %s", err, text)
			}
			s := opened(t, old, Options{})
			got := loaded(t, s)
			isNew := reflect.DeepEqual(got, will.rows)
			if !isNew && !reflect.DeepEqual(got, was.rows) {
				t.Fatalf("killed at %s %d it left %d rows that are neither the old nor the new ones", call, n, len(got))
			}
			if err := errors.Join(s.Verify(context.Background()), s.Close()); err != nil {
				t.Errorf("killed at %s %d: %v", call, n, err)
			}
			if err == nil { // it has survived
				break
			}
			if kills++; isNew {
				news++
			}
		}
	}
	if news < 2 || kills < news+10 {
		t.Errorf("killed %d times it has left the new index %d times: are all calls seen?", kills, news)
	}
}

// replaceOnce puts the second file in place of the first.
func replaceOnce(args []string) error {
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
	if err := s.Replace(ctx, other); err != nil {
		return err
	}
	return s.Close()
}

// crashed is an index as a crash leaves it, with all of its rows in the log.
type crashed struct {
	rows      []Row
	file, log []byte
}

// crash makes an index of ten rows.
func crash(t *testing.T, from int) (c crashed) {
	t.Helper()
	s := made(t, testAbout)
	c.rows = rowsIn(apply(t, s, puts(rowsOf(from, from+10, testDim)...)...))
	read := func(suffix string) []byte {
		b, err := os.ReadFile(s.path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	c.file, c.log = read(""), read("-wal")
	return c
}

// lay puts it at a path.
func (c crashed) lay(t *testing.T, path string) {
	t.Helper()
	if err := errors.Join(os.WriteFile(path, c.file, 0o666), os.WriteFile(path+"-wal", c.log, 0o666)); err != nil {
		t.Fatal(err)
	}
}
