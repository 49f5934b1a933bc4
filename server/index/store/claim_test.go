package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// A file has only one owner, whatever names it has.
func TestOneOwnerOfLinks(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the file itself is locked on Linux only")
	}
	s := made(t, testAbout)
	other := filepath.Join(t.TempDir(), "other")
	if err := os.Link(s.path, other); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), other, Options{}); !errors.Is(err, ErrInUse) {
		t.Errorf("a second owner by another name: %v", err)
	}
	apply(t, s, puts(rowsOf(0, 5, testDim)...)...) // SQLite's locks are still held
	if err := errors.Join(s.Compact(context.Background()), s.Close()); err != nil {
		t.Fatal(err)
	}
	again, err := Open(context.Background(), other, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// Changes to a file that nobody will find again are not acknowledged.
func TestMoved(t *testing.T) {
	s := made(t, testAbout)
	apply(t, s, puts(rowsOf(0, 5, testDim)...)...)
	away := s.path + ".away"
	if err := os.Rename(s.path, away); err != nil {
		t.Fatal(err)
	}
	put := func() error { return s.Apply(context.Background(), puts(rowsOf(5, 6, testDim)...)) }
	if err := put(); !errors.Is(err, ErrMoved) {
		t.Errorf("the file has no name: %v", err)
	}
	if err := os.WriteFile(s.path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := put(); !errors.Is(err, ErrMoved) {
		t.Errorf("another file has its name: %v", err)
	}
	if err := os.Rename(away, s.path); err != nil {
		t.Fatal(err)
	}
	if err := put(); err != nil {
		t.Errorf("the file is back: %v", err)
	}
}
