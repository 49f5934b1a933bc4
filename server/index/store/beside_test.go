package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Someone who removes an index after a crash may leave its log. The rows in it neither appear in
// a new index of that name nor are lost.
func TestNewFileBesideAnOldLog(t *testing.T) {
	was := crash(t, 0)
	folder := t.TempDir()
	path := filepath.Join(folder, "x.index")
	was.lay(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	_, err := Open(context.Background(), path, Options{Create: true, About: testAbout})
	if err == nil || !strings.Contains(err.Error(), path+"-wal is left over from an index file that no longer exists") {
		t.Fatalf("made beside the log of another: %v", err)
	}
	if err := made(t, testAbout).Backup(context.Background(), path); err == nil || !strings.Contains(err.Error(), path+"-wal is left") {
		t.Errorf("a backup beside the log of another: %v", err)
	}
	wantFiles(t, folder, "x.index-wal", "x.index.lock")
	if err := os.WriteFile(path, was.file, 0o666); err != nil { // as the error advises
		t.Fatal(err)
	}
	s := opened(t, path, Options{})
	wantRows(t, s, was.rows...)
	s.Close()
}

func TestNewFileBesideAnEmptyLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.index")
	if err := errors.Join(os.WriteFile(path+"-wal", nil, 0o666), os.WriteFile(path+"-shm", make([]byte, 32768), 0o666)); err != nil {
		t.Fatal(err)
	}
	s := opened(t, path, Options{Create: true, About: testAbout})
	rows := rowsIn(apply(t, s, puts(rowsOf(0, 3, testDim)...)...))
	s.Close()
	wantRows(t, opened(t, path, Options{}), rows...)
}

func TestRemove(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "x.index")
	s := opened(t, path, Options{Create: true, About: testAbout})
	apply(t, s, puts(rowsOf(0, 3, testDim)...)...)
	if err := Remove(path); !errors.Is(err, ErrInUse) {
		t.Errorf("removed under its owner: %v", err)
	}
	if err := s.Verify(context.Background()); err != nil {
		t.Error(err)
	}
	s.Close()
	was := crash(t, 0)
	was.lay(t, path)
	if err := os.WriteFile(path+".rebuild", nil, 0o666); err != nil { // another index's
		t.Fatal(err)
	}
	for _, what := range []string{"a crashed index", "nothing"} {
		if err := Remove(path); err != nil {
			t.Errorf("removing %s: %v", what, err)
		}
		wantFiles(t, folder, "x.index.rebuild")
	}
	// If Remove is killed between its steps, it leaves a log without its file.
	if err := os.WriteFile(path+"-wal", was.log, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(Remove(path), Remove(filepath.Join(folder, "none", "x.index"))); err != nil {
		t.Error(err)
	}
	wantFiles(t, folder, "x.index.rebuild")
	if err := Remove(folder); !errors.Is(err, ErrForeign) {
		t.Errorf("removed a folder: %v", err)
	}
	opened(t, path, Options{Create: true, About: testAbout})
}

// A lock file removed by its holder passes to one of those that wait at its name.
func TestLockOfARemovedFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x.lock")
	first, err := lockFile(name)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if !isAt(first, name) {
		t.Error("a lock is not at its name")
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if isAt(first, name) {
		t.Error("a removed lock is at its name")
	}
	second, err := lockFile(name)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if isAt(first, name) {
		t.Error("two locks are at one name")
	}
}

// A missing file resolves to the path at which it would be created, whatever links lead to it.
func TestPathThroughLinks(t *testing.T) {
	folder, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	disk, data := filepath.Join(folder, "disk"), filepath.Join(folder, "data")
	link, loop := filepath.Join(folder, "link"), filepath.Join(folder, "loop")
	if err := errors.Join(os.Mkdir(disk, 0o777), os.Symlink("disk", data), os.Symlink("data/y.index", link), os.Symlink("loop", loop)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{filepath.Join(data, "x.index"): filepath.Join(disk, "x.index"), link: filepath.Join(disk, "y.index")} {
		for _, when := range []string{"missing", "there"} {
			s := opened(t, path, Options{Create: true, About: testAbout})
			if s.Path() != want {
				t.Errorf("%s, %s, is %s, want %s", path, when, s.Path(), want)
			}
			s.Close()
		}
	}
	if s, err := Open(context.Background(), loop, Options{Create: true, About: testAbout}); err == nil {
		t.Errorf("%s was made at the end of a loop", s.Path())
	}
	// For a link, the target is removed and created again.
	if err := Remove(link); err != nil {
		t.Error(err)
	}
	wantFiles(t, disk, "x.index", "x.index.lock")
	if s := opened(t, link, Options{Create: true, About: testAbout}); s.Path() != filepath.Join(disk, "y.index") {
		t.Errorf("it came again at %s", s.Path())
	}
}

func TestReplaceThroughALink(t *testing.T) {
	folder := t.TempDir()
	disk, data := filepath.Join(folder, "disk"), filepath.Join(folder, "data")
	if err := errors.Join(os.Mkdir(disk, 0o777), os.Symlink(disk, data)); err != nil {
		t.Fatal(err)
	}
	opened(t, filepath.Join(data, "x.index"), Options{Create: true, About: testAbout}).Close()
	s := opened(t, filepath.Join(data, "x.index"), Options{})
	other := opened(t, filepath.Join(data, "x.index.rebuild"), Options{Create: true, About: testAbout})
	rows := rowsIn(apply(t, other, puts(rowsOf(0, 3, testDim)...)...))
	if err := s.Replace(context.Background(), other); err != nil {
		t.Fatal(err)
	}
	wantRows(t, s, rows...)
	s.Close()
	wantFiles(t, disk, "x.index", "x.index.lock")
}
