package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strconv"
	"testing"
)

const killDim = 200

// change makes the n-th change of a history: of one row or many, with new ones, replacements and
// removals.
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

// after returns what an index holds after the first n changes, without keys.
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

// keepOn applies the history from a change on, and prints the number of each once it has
// returned. Now and then it compacts.
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

// killAfter starts keepOn and kills it once it has acknowledged some changes. It returns the
// number of the last one.
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

// Whenever its process is killed, an index has every acknowledged change, at most the one in
// progress besides, and none in part.
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
