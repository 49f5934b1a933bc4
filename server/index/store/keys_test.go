package store

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"testing"
)

func removals(changes ...Change) (list []Change) {
	for _, c := range changes {
		list = append(list, Change{Row: Row{Namespace: c.Namespace, ID: c.ID}, Delete: true})
	}
	return list
}

// wantKey stores a new row, checks its key, and returns its change.
func wantKey(t *testing.T, s *Store, n int, want int64) Change {
	t.Helper()
	c := apply(t, s, puts(rowOf(n, testDim))...)[0]
	if c.Key != want {
		t.Errorf("row %d has the key %d, want %d", n, c.Key, want)
	}
	return c
}

// Keys are never reused, whichever row had them and whether or not the file was closed in
// between.
func TestKeysOfRemovedRows(t *testing.T) {
	ctx := context.Background()
	s := made(t, testAbout)
	again := func() {
		t.Helper()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = opened(t, s.path, Options{})
	}
	rows := apply(t, s, puts(rowsOf(0, 10, testDim)...)...)
	apply(t, s, removals(rows[9])...)
	again()
	eleventh := wantKey(t, s, 20, 11)
	apply(t, s, removals(eleventh, rows[8], rows[7])...) // newest first
	again()
	apply(t, s, removals(wantKey(t, s, 21, 12))...)
	apply(t, s, removals(rows[:7]...)...) // all remaining rows
	again()
	// New rows and their removal in one change, followed by another new row.
	changes := puts(rowsOf(30, 33, testDim)...)
	apply(t, s, append(append(changes, removals(changes...)...), puts(rowOf(33, testDim))...)...)
	apply(t, s, removals(puts(rowOf(33, testDim))...)...)
	again()
	last := wantKey(t, s, 34, 17)
	// A failed change may use up keys, but must not cause one to be reused.
	bad := rowOf(36, testDim)
	bad.Vector = nil
	if err := s.Apply(ctx, puts(rowOf(35, testDim), bad)); err == nil {
		t.Fatal("a row without a vector was stored")
	}
	apply(t, s, removals(last)...)
	again()
	if c := apply(t, s, puts(rowOf(37, testDim))...)[0]; c.Key < 18 {
		t.Errorf("the key %d was given again", c.Key)
	}
	apply(t, s, removals(puts(rowOf(37, testDim))...)...)
	if err := s.Compact(ctx); err != nil {
		t.Fatal(err)
	}
	again()
	wantKey(t, s, 38, 20)
	if err := s.Verify(ctx); err != nil {
		t.Error(err)
	}
}

// A file that replaces another reuses the keys of neither.
func TestKeysAfterReplace(t *testing.T) {
	s := made(t, testAbout)
	rows := apply(t, s, puts(rowsOf(0, 10, testDim)...)...)
	apply(t, s, removals(rows[9])...)
	other := opened(t, s.path+".rebuild", Options{Create: true, About: testAbout})
	apply(t, other, puts(rowsOf(0, 9, testDim)...)...)
	if err := s.Replace(context.Background(), other); err != nil {
		t.Fatal(err)
	}
	s.Close()
	wantKey(t, opened(t, s.path, Options{}), 20, 11)
}

// removeNewest stores rows, removes the newest again, and waits to be killed.
func removeNewest(args []string) error {
	ctx := context.Background()
	s, err := Open(ctx, args[0], Options{})
	if err != nil {
		return err
	}
	changes := puts(rowsOf(0, 5, testDim)...)
	if err := s.Apply(ctx, changes); err != nil {
		return err
	}
	if err := s.Apply(ctx, removals(changes[3:]...)); err != nil {
		return err
	}
	fmt.Println("removed")
	os.Stdin.Read(make([]byte, 1))
	return nil
}

func TestKeysAfterAKill(t *testing.T) {
	s := made(t, testAbout)
	s.Close()
	cmd := child(t, "remove-newest", s.path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if line != "removed\n" {
		t.Fatal(line, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	s = opened(t, s.path, Options{})
	if n, err := s.Rows(context.Background()); n != 3 || err != nil {
		t.Errorf("%d rows, %v", n, err)
	}
	wantKey(t, s, 20, 6)
}
