package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
)

// wantFiles checks that a folder has no leftover files.
func wantFiles(t *testing.T, folder string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the folder has %q, want %q", got, want)
	}
}

func TestBackup(t *testing.T) {
	s := made(t, testAbout)
	changes := apply(t, s, puts(rowsOf(0, 30, testDim)...)...)
	ctx := context.Background()
	folder := t.TempDir()
	copied := filepath.Join(folder, "copy")
	if err := s.Backup(ctx, copied); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, folder, "copy")
	if err := s.Backup(ctx, copied); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a backup over another file: %v", err)
	}
	if err := s.Backup(ctx, s.path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a backup over the index itself: %v", err)
	}
	if err := s.Backup(ctx, filepath.Join(folder, "none", "copy")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a backup into no folder: %v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := s.Backup(ended, copied+"2"); !errors.Is(err, context.Canceled) {
		t.Errorf("after its context has ended: %v", err)
	}
	wantFiles(t, folder, "copy")
	apply(t, s, puts(rowsOf(30, 40, testDim)...)...)
	b := opened(t, copied, Options{})
	if err := b.Verify(ctx); err != nil {
		t.Error(err)
	}
	wantRows(t, b, rowsIn(changes)...)
	more := apply(t, b, puts(rowOf(50, testDim))...)
	wantRows(t, b, rowsIn(append(changes, more...))...)
}

func TestCompact(t *testing.T) {
	s := made(t, testAbout)
	changes := apply(t, s, puts(rowsOf(0, 3000, testDim)...)...)
	removals := slices.Clone(changes[10:])
	for i := range removals {
		removals[i].Delete = true
	}
	apply(t, s, removals...)
	if err := s.SetMeta(context.Background(), "a", []byte("b")); err != nil {
		t.Fatal(err)
	}
	s.writer.checkpoint()
	before, _ := s.Size()
	if err := s.Compact(context.Background()); err != nil {
		t.Fatal(err)
	}
	after, log := s.Size()
	if after > before/4 || log > 0 {
		t.Errorf("of %d bytes are left %d, and %d in the log", before, after, log)
	}
	wantRows(t, s, rowsIn(changes[:10])...)
	if c := apply(t, s, puts(rowOf(5000, testDim))...); c[0].Key != 3001 {
		t.Errorf("the next key is %d", c[0].Key)
	}
	if value, err := s.Meta(context.Background(), "a"); string(value) != "b" {
		t.Error(value, err)
	}
	if err := s.Verify(context.Background()); err != nil {
		t.Error(err)
	}
	s.Close()
	wantFiles(t, filepath.Dir(s.path), "x.index", "x.index.lock")
}

func TestReplace(t *testing.T) {
	ctx := context.Background()
	s := made(t, testAbout)
	old := apply(t, s, puts(rowsOf(0, 5, testDim)...)...)
	beside := opened(t, s.path, Options{ReadOnly: true})
	about := About{Fingerprint: "new", Dim: 4, Center: []float32{1, 2, 3, 4}}
	other := opened(t, s.path+".rebuild", Options{Create: true, About: about})
	changes := apply(t, other, puts(rowsOf(100, 130, 4)...)...)
	if err := s.Replace(ctx, other); err != nil {
		t.Fatal(err)
	}
	wantRows(t, s, rowsIn(changes)...)
	if !reflect.DeepEqual(s.About(), about) {
		t.Errorf("about is %+v", s.About())
	}
	more := apply(t, s, puts(rowsOf(130, 140, 4)...)...)
	wantRows(t, beside, rowsIn(old)...) // a reader continues with what it had
	mixed := beside.reads.use(ctx, func(*conn) error { return beside.Verify(ctx) })
	if !errors.Is(mixed, errReplaced) {
		t.Errorf("a reader of the old file has a connection to the new one: %v", mixed)
	}
	all := rowsIn(append(changes, more...))
	wantRows(t, s, all...)
	wantRows(t, opened(t, s.path, Options{ReadOnly: true}), all...)
	if err := other.Apply(ctx, changes); !errors.Is(err, ErrClosed) {
		t.Errorf("the other is still open: %v", err)
	}
	if err := errors.Join(beside.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	for _, gone := range []string{other.path, other.path + "-wal", other.path + lockSuffix} {
		if _, err := os.Stat(gone); err == nil {
			t.Errorf("%s is still there", gone)
		}
	}
	wantRows(t, opened(t, s.path, Options{}), all...)
}

func TestReplaceThatCannotBe(t *testing.T) {
	ctx := context.Background()
	s, far := made(t, testAbout), made(t, testAbout)
	changes := apply(t, s, puts(rowsOf(0, 5, testDim)...)...)
	other := opened(t, s.path+".rebuild", Options{Create: true, About: testAbout})
	for _, o := range []*Store{s, far} {
		if err := s.Replace(ctx, o); err == nil {
			t.Errorf("%s was put in place", o.path)
		}
	}
	// The log cannot be emptied while another process reads from it.
	beside := opened(t, s.path, Options{ReadOnly: true})
	err := loadAll(beside, ctx, func(r *Row) error {
		if r.Key > 1 {
			return nil
		}
		apply(t, s, changes...)
		return s.Replace(ctx, other)
	})
	if !errors.Is(err, ErrInUse) {
		t.Errorf("with a reader: %v", err)
	}
	wantRows(t, s, rowsIn(changes)...)
	if err := far.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Replace(ctx, far); err == nil {
		t.Error("a closed index was put in place")
	}
	apply(t, s, puts(rowOf(9, testDim))...)
}
