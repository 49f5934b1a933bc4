package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const damageDim = 64

// sample makes a closed index with several pages of each kind, and returns its rows.
func sample(t *testing.T) (path string, rows []Row) {
	t.Helper()
	about := About{Fingerprint: "f", Dim: damageDim, Center: make([]float32, damageDim)}
	s := made(t, about)
	for n := 0; n < 200; n += 50 {
		rows = append(rows, rowsIn(apply(t, s, puts(rowsOf(n, n+50, damageDim)...)...))...)
	}
	if err := errors.Join(s.SetMeta(context.Background(), "percentiles", make([]byte, 800)), s.Close()); err != nil {
		t.Fatal(err)
	}
	return s.path, rows
}

// examine opens a file and reads all of it; it returns the rows, or an error that says what is
// wrong.
func examine(t *testing.T, path string, o Options) (rows []Row, err error) {
	t.Helper()
	ctx := context.Background()
	s, err := Open(ctx, path, o)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	load := loadAll(s, ctx, func(r *Row) error {
		c := *r
		c.Vector, c.Metadata = slices.Clone(r.Vector), slices.Clone(r.Metadata)
		rows = append(rows, c)
		return nil
	})
	if err := errors.Join(load, s.Verify(ctx)); err != nil {
		s.Get(ctx, []int64{1, 100, 200}, true) // the result does not matter, but it must not panic
		if !o.ReadOnly {
			s.Apply(ctx, puts(rowOf(7, damageDim), rowOf(500, damageDim)))
		}
		return nil, err
	}
	for i := range rows {
		if rows[i].Thumbnail, err = s.Thumbnail(ctx, rows[i].Key); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// wantFound checks that an error of damage is one that callers know.
func wantFound(t *testing.T, what string, err error) {
	t.Helper()
	for _, known := range []error{ErrDamaged, ErrForeign, ErrNewer} {
		if errors.Is(err, known) {
			return
		}
	}
	t.Errorf("%s: %v", what, err)
}

// A flipped byte is either reported or has no effect.
func TestFlippedBytes(t *testing.T) {
	path, rows := sample(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	var offsets []int
	for page := 0; page < len(whole); page += pageSize { // where the structure is
		for range 4 {
			offsets = append(offsets, page+rng.IntN(100))
		}
	}
	for range repeats(t, 60) {
		offsets = append(offsets, rng.IntN(len(whole)))
	}
	damaged := filepath.Join(t.TempDir(), "x.index")
	found := 0
	for i, at := range offsets {
		text := slices.Clone(whole)
		text[at] ^= byte(1 + rng.IntN(255))
		if err := os.WriteFile(damaged, text, 0o666); err != nil {
			t.Fatal(err)
		}
		got, err := examine(t, damaged, Options{ReadOnly: i%8 > 0}) // syncs by an owner are slow
		if err != nil {
			found++
			wantFound(t, fmt.Sprintf("byte %d flipped to %#x", at, text[at]), err)
		} else if !reflect.DeepEqual(got, rows) {
			t.Errorf("byte %d flipped to %#x, and nobody noticed", at, text[at])
		}
		os.Remove(damaged + "-wal")
	}
	t.Logf("%d of %d were found", found, len(offsets))
	if found < len(offsets)/3 {
		t.Errorf("only %d of %d were found: are they in what matters?", found, len(offsets))
	}
}

// The error names the row that a flipped byte belongs to.
func TestFlippedVectorIsNamed(t *testing.T) {
	path, rows := sample(t)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	own := codec{}
	own.encode(&rows[123], 0)
	at := strings.Index(string(text), string(own.vector))
	if at < 0 {
		t.Fatal("the vector is not in the file")
	}
	text[at+70] ^= 4
	if err := os.WriteFile(path, text, 0o666); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	s := opened(t, path, Options{})
	_, get := s.Get(ctx, []int64{rows[123].Key}, false)
	for name, err := range map[string]error{"Load": loadAll(s, ctx, func(*Row) error { return nil }), "Verify": s.Verify(ctx), "Get": get} {
		if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), `"id-123" in namespace "default"`) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The other rows can be read, and this one can be written again.
	if found, err := s.Get(ctx, []int64{rows[122].Key}, true); len(found) != 1 || err != nil {
		t.Error(found, err)
	}
	apply(t, s, Change{Row: rows[123]})
	wantRows(t, s, rows...)
}

func TestCutFile(t *testing.T) {
	path, _ := sample(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	lengths := []int{1, 16, 99, 100, 101, 512, pageSize - 1, pageSize, pageSize + 1, len(whole) - pageSize, len(whole) - 1}
	for range 20 {
		lengths = append(lengths, 1+rng.IntN(len(whole)-1))
	}
	for i, n := range lengths {
		if err := os.WriteFile(path, whole[:n], 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := examine(t, path, Options{ReadOnly: i%2 > 0})
		wantFound(t, fmt.Sprintf("cut to %d of %d bytes", n, len(whole)), err)
	}
}

// A value changed with SQL is detected, too, and so is a missing table.
func TestAlteredTables(t *testing.T) {
	for _, statements := range []string{
		"UPDATE items SET metadata = '{}' WHERE key = 3", "UPDATE items SET id = 'x' WHERE key = 3", "UPDATE items SET vector = x'00' WHERE key = 3",
		"UPDATE thumbnails SET jpeg = x'00' WHERE key = 2", "UPDATE thumbnails SET key = 3 WHERE key = 2", "UPDATE meta SET value = x'00' WHERE name = 'user.percentiles'",
		"DELETE FROM meta WHERE name = 'dim'", "UPDATE meta SET value = x'0f000000' WHERE name = 'dim'", "DROP TABLE items", "DROP TABLE thumbnails",
		"ALTER TABLE items RENAME vector TO v", "PRAGMA user_version = 0",
	} {
		path, _ := sample(t)
		alter(t, path, statements)
		_, err := examine(t, path, Options{})
		wantFound(t, statements, err)
	}
}
