package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"testing"
)

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

// lay writes the crashed index to path.
func (c crashed) lay(t *testing.T, path string) {
	t.Helper()
	if err := errors.Join(os.WriteFile(path, c.file, 0o666), os.WriteFile(path+"-wal", c.log, 0o666)); err != nil {
		t.Fatal(err)
	}
}

// A crash leaves the file and its log. Whatever is flipped or cut off in the log, the index opens
// in the state after one of its transactions.
func TestLogOfACrash(t *testing.T) {
	s := made(t, About{Fingerprint: "f", Dim: damageDim})
	states := [][]Row{nil}
	for n := range 12 {
		rows := rowsIn(apply(t, s, puts(rowsOf(3*n, 3*n+3, damageDim)...)...))
		states = append(states, append(slices.Clone(states[n]), rows...))
	}
	file, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(s.path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	crashed := filepath.Join(t.TempDir(), "x.index")
	open := func(log []byte) []Row {
		t.Helper()
		if err := errors.Join(os.WriteFile(crashed, file, 0o666), os.WriteFile(crashed+"-wal", log, 0o666)); err != nil {
			t.Fatal(err)
		}
		s := opened(t, crashed, Options{})
		defer s.Close()
		return loaded(t, s)
	}
	if got := open(log); !reflect.DeepEqual(got, states[len(states)-1]) {
		t.Fatalf("after a crash there are %d rows", len(got))
	}
	rng := rand.New(rand.NewPCG(5, 6))
	for range repeats(t, 20) {
		damaged := slices.Clone(log)
		damaged[rng.IntN(len(log))] ^= byte(1 + rng.IntN(255))
		if rng.IntN(2) == 0 {
			damaged = damaged[:rng.IntN(len(log))]
		}
		got := open(damaged)
		if !slices.ContainsFunc(states, func(rows []Row) bool { return len(rows) == len(got) && (len(got) == 0 || reflect.DeepEqual(rows, got)) }) {
			t.Errorf("%d rows are the index at no time", len(got))
		}
	}
}

// A process that replaces an index is killed at each of its system calls that change something on
// the disk. The index is either the old or the new one.
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
			if err == nil { // it was not killed any more
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
	runtime.LockOSThread() // strace counts calls per thread
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
