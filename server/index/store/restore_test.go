package store

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// saved makes a copy of an index of ten rows, as Backup does, and returns its rows.
func saved(t *testing.T, from int) (path string, rows []Row) {
	t.Helper()
	s := made(t, testAbout)
	rows = rowsIn(apply(t, s, puts(rowsOf(from, from+10, testDim)...)...))
	path = filepath.Join(t.TempDir(), "copy.index")
	if err := errors.Join(s.Backup(context.Background(), path), s.Close()); err != nil {
		t.Fatal(err)
	}
	return path, rows
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Whatever is at the path, an old log included, it is the copy afterwards: SQLite would play the
// old log into a file that is merely copied there.
func TestRestore(t *testing.T) {
	copied, rows := saved(t, 20)
	was := crash(t, 0)
	for what, lay := range map[string]func(path string) error{
		"a crashed index":        func(path string) error { was.lay(t, path); return nil },
		"a copy beside a log":    func(path string) error { was.lay(t, path); return os.WriteFile(path, read(t, copied), 0o666) },
		"a log without its file": func(path string) error { was.lay(t, path); return os.Remove(path) },
		"a damaged index": func(path string) error {
			return os.WriteFile(path, append(slices.Clone(was.file[:100]), 1, 2, 3), 0o666)
		},
		"an empty file":        func(path string) error { return os.WriteFile(path, nil, 0o666) },
		"the draft of a crash": func(path string) error { return os.WriteFile(restoreDraft(path), []byte("half"), 0o666) },
		"a restore that waits": func(path string) error { return os.WriteFile(restored(path), []byte("of another copy"), 0o666) },
		"nothing":              func(string) error { return nil },
	} {
		folder := t.TempDir()
		path := filepath.Join(folder, "x.index")
		if err := lay(path); err != nil {
			t.Fatal(err)
		}
		n, err := Restore(context.Background(), copied, path)
		if err != nil || n != len(rows) {
			t.Errorf("%s: %d rows, %v", what, n, err)
			continue
		}
		wantFiles(t, folder, "x.index", "x.index.lock")
		s := opened(t, path, Options{})
		wantRows(t, s, rows...)
		if err := errors.Join(s.Verify(context.Background()), s.Close()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// The copy may be an index in use, and its log counts.
func TestRestoreFromAnIndexInUse(t *testing.T) {
	s := made(t, testAbout)
	rows := rowsIn(apply(t, s, puts(rowsOf(0, 5, testDim)...)...))
	path := filepath.Join(t.TempDir(), "x.index")
	opened(t, path, Options{Create: true, About: testAbout}).Close()
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(context.Background(), s.path, path); err != nil {
		t.Fatal(err)
	}
	wantRows(t, opened(t, path, Options{}), rows...)
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o640 {
		t.Errorf("its permissions are not those of the old file: %v %v", info.Mode(), err)
	}
}

// What cannot be restored leaves the index as it was.
func TestRestoreRefuses(t *testing.T) {
	ctx := context.Background()
	copied, _ := saved(t, 20)
	path := filepath.Join(t.TempDir(), "x.index")
	was := crash(t, 0)
	was.lay(t, path)
	bad, cut, diary := filepath.Join(t.TempDir(), "bad"), filepath.Join(t.TempDir(), "cut"), filepath.Join(t.TempDir(), "diary")
	text := read(t, copied)
	own := codec{}
	row := rowOf(23, testDim)
	own.encode(&row, 0)
	at := bytes.Index(text, own.vector)
	if at < 0 {
		t.Fatal("the vector is not in the file")
	}
	flipped := slices.Clone(text)
	flipped[at] ^= 4
	if err := errors.Join(os.WriteFile(bad, flipped, 0o666), os.WriteFile(cut, text[:len(text)/2], 0o666), os.WriteFile(diary, []byte("Dear diary,\n"), 0o666)); err != nil {
		t.Fatal(err)
	}
	link := path + ".link"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from, to string
		want     error
	}{
		{bad, path, ErrDamaged}, {cut, path, ErrDamaged}, {diary, path, ErrForeign}, {filepath.Dir(path), path, ErrForeign}, {path + "none", path, fs.ErrNotExist},
		{copied, diary, ErrForeign}, {copied, filepath.Dir(path), ErrForeign}, {copied, filepath.Join(path+"none", "x"), fs.ErrNotExist}, {link, path, nil},
	} {
		if _, err := Restore(ctx, c.from, c.to); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("from %s to %s: %v, want %v", c.from, c.to, err, c.want)
		}
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := Restore(ended, copied, path); !errors.Is(err, context.Canceled) {
		t.Errorf("after its context has ended: %v", err)
	}
	wantFiles(t, filepath.Dir(path), "x.index", "x.index-wal", "x.index.link", "x.index.lock")
	s := opened(t, path, Options{})
	wantRows(t, s, was.rows...)
	if _, err := Restore(ctx, copied, path); !errors.Is(err, ErrInUse) {
		t.Errorf("under its owner: %v", err)
	}
	s.Close()
	if string(read(t, diary)) != "Dear diary,\n" {
		t.Error("a file that is no index was overwritten")
	}
}

// A reader that is not vicreg's may remove the log of the new file when it closes the old one.
func TestRestoreUnderAReader(t *testing.T) {
	copied, rows := saved(t, 20)
	s := made(t, testAbout)
	apply(t, s, puts(rowsOf(0, 5, testDim)...)...)
	s.Close()
	cmd := child(t, "hold-reading", s.path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "open\n" {
		t.Fatal(line, err)
	}
	if _, err := Restore(context.Background(), copied, s.path); !errors.Is(err, ErrInUse) {
		t.Errorf("restored under a reader: %v", err)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(context.Background(), copied, s.path); err != nil {
		t.Fatal(err)
	}
	wantRows(t, opened(t, s.path, Options{}), rows...)
}

// holdReading has an index open through SQLite alone, and reads nothing more, until its standard
// input ends.
func holdReading(args []string) error {
	c, err := access{query: "mode=rw", draft: true}.connect(args[0])
	if err != nil {
		return err
	}
	if _, err := number(c, countRows); err != nil {
		return err
	}
	fmt.Println("open")
	os.Stdin.Read(make([]byte, 1))
	return c.Close()
}

// A restore that was interrupted where it counts already is completed by the next owner, and the
// file of before is read by nobody.
func TestUnfinishedRestore(t *testing.T) {
	copied, rows := saved(t, 20)
	was := crash(t, 0)
	for _, file := range []string{"with its log", "without its log", "missing", "empty"} {
		folder := t.TempDir()
		path := filepath.Join(folder, "x.index")
		was.lay(t, path)
		var err error
		switch file {
		case "without its log":
			err = os.Remove(path + walSuffix)
		case "missing":
			err = os.Remove(path)
		case "empty":
			err = os.Truncate(path, 0)
		}
		if err := errors.Join(err, os.WriteFile(restored(path), read(t, copied), 0o600)); err != nil {
			t.Fatal(err)
		}
		wantError(t, path, Options{ReadOnly: true}, ErrUnfinished, "vicreg index restore")
		told := 0
		for range 2 {
			s := opened(t, path, Options{Restored: func() { told++ }})
			wantRows(t, s, rows...)
			s.Close()
		}
		if told != 1 {
			t.Errorf("told %d times that the restore is complete", told)
		}
		wantFiles(t, folder, "x.index", "x.index.lock")
	}
	path := filepath.Join(t.TempDir(), "x.index")
	was.lay(t, path)
	if err := os.WriteFile(restored(path), read(t, copied), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Remove(path); err != nil {
		t.Error(err)
	}
	wantFiles(t, filepath.Dir(path))
}

// A backup to where a restore is unfinished would be replaced by that.
func TestBackupToUnfinishedRestore(t *testing.T) {
	copied, _ := saved(t, 20)
	path := filepath.Join(t.TempDir(), "x.index")
	if err := os.WriteFile(restored(path), read(t, copied), 0o600); err != nil {
		t.Fatal(err)
	}
	s := opened(t, copied, Options{ReadOnly: true})
	err := s.Backup(context.Background(), path)
	if !errors.Is(err, ErrUnfinished) || !strings.Contains(err.Error(), "remove "+restored(path)) {
		t.Errorf("got %v", err)
	}
	wantFiles(t, filepath.Dir(path), filepath.Base(restored(path)))
	if err := os.Remove(restored(path)); err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(context.Background(), path); err != nil {
		t.Error(err)
	}
}

// A restore whose disk fails at one of its syncs leaves the old index, or says that it counts.
func TestRestoreFailsToSync(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	was := crashedInPart(t)
	copied, rows := saved(t, 20)
	trace := filepath.Join(t.TempDir(), "trace")
	counts := 0
	for n := 1; ; n++ {
		path := filepath.Join(t.TempDir(), "x.index")
		was.lay(t, path)
		cmd := child(t, "restore", copied, path)
		cmd.Args = append([]string{strace, "-f", "-o", trace, "-e", "trace=/^f(data)?sync$", "-e", fmt.Sprintf("inject=/^f(data)?sync$:error=EIO:when=%d", n), cmd.Path}, cmd.Args[1:]...)
		cmd.Path = strace
		text, err := cmd.CombinedOutput()
		if strings.Contains(string(text), "strace:") {
			t.Skipf("strace cannot let a call fail: %v %s", err, text)
		}
		if !strings.Contains(string(read(t, trace)), "INJECTED") { // it has no further sync
			break
		}
		if err == nil { // of a folder, and by SQLite, which goes on
			continue
		}
		s := opened(t, path, Options{})
		got := loaded(t, s)
		s.Close()
		unfinished := strings.Contains(string(text), ErrUnfinished.Error())
		if want := map[bool][]Row{false: was.rows, true: rows}[unfinished]; !reflect.DeepEqual(got, want) {
			t.Errorf("sync %d fails, unfinished is %v, and the index has %d rows: %s", n, unfinished, len(got), text)
		}
		if unfinished {
			counts++
		}
	}
	if counts == 0 {
		t.Error("no restore counts whose sync has failed")
	}
}

// A process that restores an index is killed at each of its system calls that change something on
// the disk. The index is either the old one with its log or the new one.
func TestKillWhileRestoring(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	was := crashedInPart(t)
	copied, rows := saved(t, 20)
	kills, news := 0, 0
	for _, call := range []string{"/^rename", "/^unlink", "/^f(data)?sync$", "/^f?chmod"} {
		for n := 1; ; n++ {
			path := filepath.Join(t.TempDir(), "x.index")
			was.lay(t, path)
			cmd := child(t, "restore", copied, path)
			cmd.Args = append([]string{strace, "-f", "-o", os.DevNull, "-e", "trace=" + call, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", call, n), cmd.Path}, cmd.Args[1:]...)
			cmd.Path = strace
			text, err := cmd.CombinedOutput()
			if len(text) > 0 {
				t.Skipf("strace cannot kill a process at a call: %v %s", err, text)
			}
			s := opened(t, path, Options{})
			got := loaded(t, s)
			isNew := reflect.DeepEqual(got, rows)
			if !isNew && !reflect.DeepEqual(got, was.rows) {
				t.Fatalf("killed at %s %d it left %d rows that are neither the old nor the new ones", call, n, len(got))
			}
			if err := errors.Join(s.Verify(context.Background()), s.Close()); err != nil {
				t.Errorf("killed at %s %d: %v", call, n, err)
			}
			wantFiles(t, filepath.Dir(path), "x.index", "x.index.lock")
			if err == nil { // it was not killed any more
				break
			}
			if kills++; isNew {
				news++
			}
		}
	}
	if news < 4 || kills < news+4 {
		t.Errorf("killed %d times it has left the new index %d times: are all calls seen?", kills, news)
	}
}

// crashedInPart makes an index whose log has only its last change: with any other file, it makes
// neither index.
func crashedInPart(t *testing.T) (c crashed) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.index")
	s := opened(t, path, Options{Create: true, About: testAbout})
	rows := rowsIn(apply(t, s, puts(rowsOf(0, 600, testDim)...)...))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = opened(t, path, Options{})
	apply(t, s, Change{Row: rows[0], Delete: true})
	c = crashed{rows: rows[1:], file: read(t, path), log: read(t, path+walSuffix)}
	if len(c.log) > len(c.file)/2 {
		t.Fatalf("all %d bytes of the file are in its log of %d", len(c.file), len(c.log))
	}
	return c
}

// restoreOnce puts the first index in place of the second.
func restoreOnce(args []string) error {
	runtime.LockOSThread() // strace counts calls per thread
	_, err := Restore(context.Background(), args[0], args[1])
	return err
}
