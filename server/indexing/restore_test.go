package indexing

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"vicreg/server/index"
)

// After a crash the log of the old file is still there, and must not come onto the copy.
func TestRestore(t *testing.T) {
	dir, file, copied := colours(t, 4), filepath.Join(t.TempDir(), "x.index"), filepath.Join(t.TempDir(), "copy.index")
	said(t, "add", dir, "--index", file, "--model", colour(t, 1))
	said(t, "backup", file, "-o", copied)
	owner, err := index.Open(t.Context(), file, index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close()
	if _, err := owner.Delete(t.Context(), "default", "00.png", "01.png"); err != nil {
		t.Fatal(err)
	}
	wrong(t, "stop the server", "restore", copied, file)
	want(t, said(t, "check", file), "2 items")
	crashed := filepath.Join(t.TempDir(), "x.index")
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(file + suffix)
		if err != nil {
			t.Fatal(err)
		}
		put(t, crashed+suffix, data)
	}
	want(t, said(t, "restore", copied, crashed), "restored 4 items of "+crashed+" from "+copied+"\n")
	want(t, said(t, "check", crashed), "is intact: 4 items")
	got(t, crashed, "00.png")

	put(t, filepath.Join(dir, "diary"), []byte("Dear diary,\n"))
	for words, args := range map[string][]string{
		"COPY is missing":    {},
		"FILE is missing":    {copied},
		"no such file":       {copied + "none", crashed},
		"move it away":       {copied, filepath.Join(dir, "diary")},
		"not a vicreg index": {filepath.Join(dir, "diary"), crashed},
	} {
		wrong(t, words, append([]string{"restore"}, args...)...)
	}
	if err := os.Truncate(copied, size(t, copied)/2); err != nil {
		t.Fatal(err)
	}
	if _, _, err := run(t.Context(), "restore", copied, crashed); !errors.Is(err, index.ErrDamaged) {
		t.Errorf("a damaged copy: %v", err)
	}
	want(t, said(t, "check", crashed), "is intact: 4 items")
}

// A command that completes an interrupted restore says so, and no backup goes where one waits.
func TestInterruptedRestore(t *testing.T) {
	dir, file := colours(t, 4), filepath.Join(t.TempDir(), "x.index")
	said(t, "add", dir, "--index", file, "--model", colour(t, 1))
	path := filepath.Join(t.TempDir(), "y.index")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(filepath.Dir(path), ".y.index.restored"), data)
	if _, _, err := run(t.Context(), "backup", file, "-o", path); !errors.Is(err, index.ErrUnfinished) {
		t.Errorf("backup: %v", err)
	}
	out, errs, err := run(t.Context(), "remove", path, "00.png")
	if want(t, errs, path+": a restore that was interrupted is complete now"); err != nil {
		t.Errorf("%v, %s", err, out)
	}
	want(t, said(t, "check", path), "is intact: 3 items")
}
