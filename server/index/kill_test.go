package index_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"vicreg/server/index"
	"vicreg/server/index/indextest"
)

// killsEnv sets the number of kills in TestKill; scripts/bench.sh index --case kill sets it.
const killsEnv = "VICREG_KILLS"

// TestKill repeatedly kills a process that writes, deletes, searches and compacts from several
// goroutines, after a random number of calls, also while it opens the file. Afterwards everything
// that was acknowledged is there, and a call that was not is done either completely or not at
// all.
func TestKill(t *testing.T) {
	kills := 4
	if text := os.Getenv(killsEnv); text != "" {
		var err error
		if kills, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "killed.index")
	l := indextest.NewLedger()
	r := rand.New(rand.NewPCG(1, uint64(kills)))
	for round := range kills {
		lines := 2 + r.IntN(400)
		if round%8 == 3 {
			lines = 1 + r.IntN(2) // while it opens the file
		}
		killOnce(t, l, path, round+1, lines)
		verify(t, l, path)
	}
	t.Logf("times=%d %v", kills, l)
	if l.Calls() == 0 {
		t.Error("nothing was acknowledged")
	}
}

// killOnce starts a child and kills it once it has printed the given number of lines.
func killOnce(t *testing.T, l *indextest.Ledger, path string, round, lines int) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), childEnv+"=mixed", pathEnv+"="+path, fmt.Sprint(roundEnv, "=", round))
	c.Stderr = os.Stderr
	if _, err := c.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(out)
	for said := 1; ; said++ {
		line, err := in.ReadString('\n')
		if err != nil {
			break // a truncated line does not count
		}
		if err := note(l, strings.TrimSpace(line)); err != nil {
			t.Fatal(err)
		}
		if said == lines {
			c.Process.Kill()
		}
	}
	var end *exec.ExitError
	if err := c.Wait(); !errors.As(err, &end) || end.ExitCode() != -1 {
		t.Fatalf("the child ended by itself: %v", err)
	}
}

// note records what a line reports.
func note(l *indextest.Ledger, line string) error {
	var c indextest.Call
	var ids string
	if n, _ := fmt.Sscanf(line, "begin %d %d %s %s", &c.Worker, &c.Number, &c.Kind, &ids); n >= 3 {
		if ids != "" {
			c.IDs = strings.Split(ids, ",")
		}
		l.Begin(c)
		return nil
	}
	if n, _ := fmt.Sscanf(line, "done %d %d", &c.Worker, &c.Number); n == 2 {
		return l.Done(c.Worker, c.Number)
	}
	if line != "opening" && line != "open" {
		return fmt.Errorf("the child says %q", line)
	}
	return nil
}

// verify opens the file, once, and compares it with what was acknowledged.
func verify(t *testing.T, l *indextest.Ledger, path string) {
	t.Helper()
	ctx := context.Background()
	f, err := index.Open(ctx, path, index.Options{Binding: childBinding(), Create: true})
	if err != nil {
		t.Fatalf("open after a kill: %v", err)
	}
	defer f.Close()
	sound(t, path)
	err = l.Settle(true, func(id string) (int, error) {
		it, err := f.Get(ctx, index.DefaultNamespace, id)
		if errors.Is(err, index.ErrUnknown) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		return indextest.NumberOf(it.Metadata), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ids, numbers := l.Items()
	if f.Len() != len(ids) {
		t.Errorf("%d items are there, want %d", f.Len(), len(ids))
	}
	for _, id := range ids {
		compare(t, f, id, numbers[id])
	}
	if t.Failed() {
		t.FailNow()
	}
}

// compare checks that an item is exactly what a call stored, and that a search finds it.
func compare(t *testing.T, f *index.File, id string, number int) {
	t.Helper()
	ctx := context.Background()
	want := indextest.Version(id, number, childDim)
	got, err := f.Get(ctx, index.DefaultNamespace, id)
	if err != nil {
		t.Errorf("%s of call %d: %v", id, number, err)
		return
	}
	picture, err := f.Thumbnail(ctx, index.DefaultNamespace, id)
	if err != nil || !bytes.Equal(picture, want.Thumbnail) {
		t.Errorf("%s of call %d: another thumbnail, %v", id, number, err)
	}
	want.Pictured, want.Thumbnail = want.Thumbnail != nil, nil
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("%s is %+v, want that of call %d", id, got, number)
	}
	if err := shows(ctx, f, id, number, true); err != nil {
		t.Errorf("%s of call %d: %v", id, number, err)
	}
}
