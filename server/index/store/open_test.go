package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// wantError checks that opening fails, with a one-sentence error that has the path.
func wantError(t *testing.T, path string, o Options, want error, words ...string) {
	t.Helper()
	s, err := Open(context.Background(), path, o)
	if s != nil {
		s.Close()
	}
	if !errors.Is(err, want) {
		t.Errorf("opened %s: %v, want %v", path, err, want)
		return
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	for _, w := range append(words, path) {
		if !strings.Contains(err.Error(), w) || strings.Contains(err.Error(), "\n") {
			t.Errorf("the error does not say %q in one sentence: %v", w, err)
		}
	}
}

func TestOneOwner(t *testing.T) {
	s := made(t, testAbout)
	wantError(t, s.path, Options{}, ErrInUse, fmt.Sprintf("process %d", os.Getpid()))
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(s.path, link); err != nil {
		t.Fatal(err)
	}
	wantError(t, link, Options{Create: true, About: testAbout}, ErrInUse)
	s.Close()

	cmd := child(t, "hold", s.path)
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
	wantError(t, s.path, Options{}, ErrInUse, fmt.Sprintf("process %d", cmd.Process.Pid))
	opened(t, s.path, Options{ReadOnly: true}).Close()
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	opened(t, s.path, Options{})
}

// A reader beside the owner sees what is acknowledged, and changes nothing.
func TestReadOnly(t *testing.T) {
	s := made(t, testAbout)
	changes := apply(t, s, puts(rowsOf(0, 5, testDim)...)...)
	r := opened(t, s.path, Options{ReadOnly: true, Create: true})
	wantRows(t, r, rowsIn(changes)...)
	more := apply(t, s, puts(rowsOf(5, 7, testDim)...)...)
	wantRows(t, r, rowsIn(append(changes, more...))...)
	ctx := context.Background()
	for name, err := range map[string]error{
		"Apply": r.Apply(ctx, more), "SetMeta": r.SetMeta(ctx, "a", nil), "Compact": r.Compact(ctx), "Replace": s.Replace(ctx, r),
	} {
		if err == nil {
			t.Errorf("%s changed what is open for reading only", name)
		}
	}
	if err := r.Verify(ctx); err != nil {
		t.Error(err)
	}
	copied := filepath.Join(t.TempDir(), "copy")
	if err := r.Backup(ctx, copied); err != nil {
		t.Error(err)
	}
	wantRows(t, opened(t, copied, Options{ReadOnly: true}), rowsIn(append(changes, more...))...)
}

func TestOpenOfWhatIsNoIndex(t *testing.T) {
	folder := t.TempDir()
	at := func(name string) string { return filepath.Join(folder, name) }
	write := func(name, text string) string {
		if err := os.WriteFile(at(name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		return at(name)
	}
	other := at("other.db")
	c, err := drafting.connect(other)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(run(c, "CREATE TABLE cookies (a)"), c.Close()); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(at("pipe"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, o := range []Options{{}, {Create: true, About: testAbout}, {ReadOnly: true}} {
		wantError(t, write("empty", ""), o, ErrForeign, "empty")
		wantError(t, write("text", "Dear diary,\n"), o, ErrForeign)
		wantError(t, write("long", strings.Repeat("Dear diary,\n", 9999)), o, ErrForeign)
		wantError(t, write("start", string(before[:50])), o, ErrDamaged)
		wantError(t, folder, o, ErrForeign, "folder")
		wantError(t, at("pipe"), o, ErrForeign, "regular")
		wantError(t, other, o, ErrForeign, "another program")
		wantError(t, at("none/x.index"), o, fs.ErrNotExist)
		wantError(t, at("text/x.index"), o, syscall.ENOTDIR)
	}
	wantError(t, at("missing"), Options{}, fs.ErrNotExist)
	wantError(t, at("missing"), Options{ReadOnly: true, Create: true}, fs.ErrNotExist)
	for _, name := range []string{"missing", "missing.lock"} {
		if _, err := os.Stat(at(name)); err == nil {
			t.Errorf("opening made %s", name)
		}
	}
	if after, err := os.ReadFile(other); err != nil || string(after) != string(before) {
		t.Errorf("opening changed another program's database: %v", err)
	}
	for _, about := range []About{{}, {Fingerprint: "f"}, {Fingerprint: "f", Dim: 2, Center: []float32{1}}} {
		if _, err := Open(context.Background(), at("x"), Options{Create: true, About: about}); err == nil {
			t.Errorf("an index was made for %+v", about)
		}
	}
}

func TestOpenOfANewerVersion(t *testing.T) {
	s := made(t, testAbout)
	s.Close()
	alter(t, s.path, "PRAGMA user_version = 2")
	wantError(t, s.path, Options{}, ErrNewer, "version is 2")
	wantError(t, s.path, Options{ReadOnly: true}, ErrNewer)
}

// alter changes a closed file with SQL.
func alter(t *testing.T, path, statements string) {
	t.Helper()
	c, err := access{query: "mode=rw", draft: true}.connect(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(run(c, statements), c.Close()); err != nil {
		t.Fatal(err)
	}
}
