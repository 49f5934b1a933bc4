package indexing

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// An export never overwrites its own index, whatever that is called, nor anything else without
// --force.
func TestExportSparesWhatIsThere(t *testing.T) {
	dir, file := colours(t, 2), filepath.Join(t.TempDir(), "v.npy.json")
	said(t, "add", dir, "--index", file, "--model", colour(t, 1))
	before := size(t, file)
	folder := filepath.Dir(file)
	link, hard := filepath.Join(folder, "link.jsonl"), filepath.Join(folder, "hard.parquet")
	log, lock := filepath.Join(folder, "log.npy"), filepath.Join(folder, "x.npy.paths")
	put(t, file+".lock", nil)
	err := errors.Join(os.Symlink(file, link), os.Link(file, hard), os.WriteFile(file+"-wal", nil, 0o666), os.Symlink(file+"-wal", log), os.Link(file+".lock", lock))
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{filepath.Join(folder, "v.npy"), link, hard, log, filepath.Join(folder, "x.npy")} {
		wrong(t, "which must be kept: give another name", "export", file, "-o", out, "--force")
		wrong(t, "which must be kept: give another name", "export", link, "-o", out, "--force")
	}
	if got := size(t, file); got != before {
		t.Errorf("%d bytes became %d", before, got)
	}
	out := filepath.Join(t.TempDir(), "w.npy")
	put(t, out+".paths", []byte("mine"))
	wrong(t, "w.npy.paths exists; --force overwrites it", "export", file, "-o", out)
	said(t, "export", file, "-o", out, "--force")
	if text, err := os.ReadFile(out + ".paths"); err != nil || string(text) != "00.png\n01.png\n" {
		t.Errorf("paths %q, %v", text, err)
	}
	other := filepath.Join(t.TempDir(), "d.jsonl")
	if err := os.MkdirAll(other+".json", 0o777); err != nil {
		t.Fatal(err)
	}
	wrong(t, "d.jsonl.json is a folder", "export", file, "-o", other, "--force")
}
