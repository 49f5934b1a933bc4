package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
)

// The log does not grow with a bulk load.
func TestLogStaysShort(t *testing.T) {
	s := made(t, About{Fingerprint: "f", Dim: benchDim})
	rows := puts(rowsOf(0, 500, benchDim)...)
	var longest int64
	for n := range 30 {
		for i := range rows {
			rows[i].ID = fmt.Sprint(n, i)
		}
		apply(t, s, rows...)
		_, log := s.Size()
		longest = max(longest, log)
	}
	file, _ := s.Size()
	if file < 24<<20 || longest > 22<<20 { // 1000 pages, and those of one transaction
		t.Errorf("beside a file of %d bytes the log took %d", file, longest)
	}
}

// A reader that is always active keeps the log from being restarted. Once it is gone, the log is
// emptied.
func TestLogIsDrained(t *testing.T) {
	s := made(t, testAbout)
	rows := puts(rowsOf(0, 100, testDim)...)
	apply(t, s, rows...)
	s.writer.limit = 1 << 20
	if err := run(s.writer.conn, "PRAGMA busy_timeout = 0"); err != nil {
		t.Fatal(err)
	}
	err := loadAll(s, context.Background(), func(r *Row) error {
		apply(t, s, rows...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	_, long := s.Size()
	if limit := s.writer.limit; limit < 2<<20 || limit > 4*long || long < 2<<20 {
		t.Errorf("beside a reader the log has %d bytes, and is tried again from %d on", long, limit)
	}
	s.writer.limit = 1 << 20
	apply(t, s, rows...)
	if _, short := s.Size(); short != 0 || s.writer.limit != walLimit {
		t.Errorf("the log has %d bytes, and is tried again from %d on", short, s.writer.limit)
	}
}

// All operations run concurrently, while a row is changed together with its copy: no reader ever
// sees one without the other.
func TestAllAtOnce(t *testing.T) {
	s := made(t, testAbout)
	ctx := context.Background()
	pair := func(n int) []Change {
		a, b := rowOf(n, testDim), rowOf(n, testDim)
		a.ID, b.ID = "a", "b"
		return puts(a, b, rowOf(n, testDim))
	}
	apply(t, s, pair(0)...)
	done := make(chan struct{})
	var others sync.WaitGroup
	again := func(name string, do func(turn int) error) {
		others.Go(func() {
			for turn := 0; ; turn++ {
				if err := do(turn); err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	again("Load", func(int) error { return pairs(s) })
	again("Get", func(int) error {
		rows, err := s.Get(ctx, []int64{1, 2, 3}, true)
		if err == nil && len(rows) != 3 {
			err = fmt.Errorf("%d rows", len(rows))
		}
		_, thumb := s.Thumbnail(ctx, 2)
		return errors.Join(err, thumb)
	})
	again("SetMeta", func(turn int) error { return s.SetMeta(ctx, "turn", fmt.Append(nil, turn)) })
	again("Verify", func(int) error { return s.Verify(ctx) })
	folder := t.TempDir()
	again("Backup", func(turn int) error {
		copied := filepath.Join(folder, fmt.Sprint(turn))
		if err := s.Backup(ctx, copied); err != nil {
			return err
		}
		b, err := Open(ctx, copied, Options{ReadOnly: true})
		if err != nil {
			return err
		}
		return errors.Join(pairs(b), b.Close())
	})
	for n := range 30 {
		apply(t, s, pair(n)...)
		if n%15 == 7 {
			if err := s.Compact(ctx); err != nil {
				t.Error(err)
			}
		}
	}
	close(done)
	others.Wait()
	if n, err := s.Rows(ctx); n != 32 || err != nil {
		t.Errorf("%d rows, %v", n, err)
	}
}

// pairs checks that the rows a and b differ only in their ids.
func pairs(s *Store) error {
	hashes := map[string]string{}
	err := loadAll(s, context.Background(), func(r *Row) error {
		hashes[r.ID] = string(r.Hash)
		return nil
	})
	if err == nil && (hashes["a"] == "" || hashes["a"] != hashes["b"]) {
		err = fmt.Errorf("the rows do not belong together: %x", hashes)
	}
	return err
}
