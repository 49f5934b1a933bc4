package indexing

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vicreg/server/index"
)

func TestInfo(t *testing.T) {
	dir, model, file := colours(t, 4), colour(t, 1, 7, 7, 7), filepath.Join(t.TempDir(), "x.index")
	put(t, filepath.Join(dir, "kind", "a.png"), filled(t, 1, 2, 3))
	said(t, "add", dir, "--index", file, "--model", model)
	said(t, "add", filepath.Join(dir, "kind"), "--index", file, "--model", model, "--namespace", "other")
	b := opened(t, file).Binding()
	want(t, said(t, "info", file), "items       6\n", "namespace   default: 5 items, with label\n", "namespace   other: 1 item\n",
		"model       "+b.Fingerprint+", vectors of 3 numbers\n", "similarity  centered-cosine\n", "disk        ", "memory      ")
	var i info
	if err := json.Unmarshal([]byte(said(t, "info", file, "--json")), &i); err != nil {
		t.Fatal(err)
	}
	if i.Items != 6 || i.Fingerprint != b.Fingerprint || i.Dim != 3 || i.Disk <= 0 || i.Memory <= 0 || len(i.Namespaces) != 2 || !slices.Equal(i.Namespaces[0].Fields, []string{"label"}) {
		t.Errorf("got %+v", i)
	}
}

// Commands that only read work while another process owns the file; those that write do not.
func TestUpkeepBesideAnOwner(t *testing.T) {
	dir, model, file := colours(t, 4), colour(t, 1), filepath.Join(t.TempDir(), "x.index")
	said(t, "add", dir, "--index", file, "--model", model)
	owner, err := index.Open(t.Context(), file, index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := owner.Upsert(t.Context(), "default", index.Item{ID: "late", Vector: []float32{1, 2, 3}}); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "copy.index")
	want(t, said(t, "info", file), "items       5\n")
	want(t, said(t, "check", file), "is intact: 5 items\n")
	want(t, said(t, "backup", file, "-o", copied), "wrote "+copied+"\n")
	want(t, said(t, "export", file, "-o", filepath.Join(t.TempDir(), "v.npy")), "5 vectors")
	wrong(t, "-o -: give the name of a file", "backup", file, "-o", "-")
	want(t, said(t, "duplicates", file), "0 groups")
	wrong(t, "vicreg index add --server URL", "remove", file, "late")
	for words, args := range map[string][]string{"stop that first": {"compact", file}, "with the new model and --rebuild": {"rebuild", file, "--model", colour(t, 2)}} {
		wrong(t, words, args...)
		if _, _, err := run(t.Context(), args...); strings.Contains(err.Error(), "--server") {
			t.Errorf("%s names what cannot help: %v", args[0], err)
		}
	}
	if err := owner.Close(); err != nil {
		t.Fatal(err)
	}
	want(t, said(t, "check", copied), "is intact: 5 items\n")
	if got(t, copied, "late").Vector[2] != 3 {
		t.Error("the copy lacks what was written last")
	}
	wrong(t, " already exists", "backup", file, "-o", copied)
}

func TestCompact(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.index")
	f, err := index.Open(t.Context(), file, index.Options{Create: true, Binding: index.Binding{Fingerprint: "f00d", Dim: 1000}})
	if err != nil {
		t.Fatal(err)
	}
	items, ids := make([]index.Item, 500), make([]string, 500)
	for i := range items {
		v := make([]float32, 1000)
		v[i] = 1
		ids[i] = fmt.Sprint(i)
		items[i] = index.Item{ID: ids[i], Vector: v}
	}
	_, err = f.Upsert(t.Context(), "default", items...)
	if err == nil {
		_, err = f.Delete(t.Context(), "default", ids[1:]...)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	before := size(t, file)
	want(t, said(t, "compact", file), "compacted "+file+" from ", " MiB to ")
	if after := size(t, file); after > before/4 {
		t.Errorf("%d bytes became %d", before, after)
	}
	want(t, said(t, "check", file), "intact: 1 item\n")
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func TestExportRefuses(t *testing.T) {
	dir, file, out := colours(t, 2), filepath.Join(t.TempDir(), "x.index"), filepath.Join(t.TempDir(), "v.jsonl")
	said(t, "add", dir, "--index", file, "--model", colour(t, 1))
	said(t, "export", file, "-o", out)
	for words, args := range map[string][]string{
		"-o VECTORS is missing":          {file},
		"ends in .npy, .jsonl, .parquet": {file, "-o", "v.csv"},
		"is not a folder":                {file, "-o", filepath.Join(dir, "none", "v.npy")},
		"exists; --force overwrites it":  {file, "-o", out},
		"namespace none is empty":        {file, "-o", out, "--force", "--namespace", "none"},
	} {
		wrong(t, words, append([]string{"export"}, args...)...)
	}
	want(t, said(t, "export", file, "-o", out, "--force"), "2 vectors")
	if _, _, err := run(t.Context(), "export", filepath.Join(dir, "none"), "-o", filepath.Join(dir, "v.npy")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestIndexExplainsItself(t *testing.T) {
	for _, w := range words() {
		out, _, _ := run(t.Context(), w.name, "--help")
		want(t, out, "Usage:\n  vicreg index "+w.name+" "+w.synopsis)
	}
	out, _, _ := run(t.Context(), "--help")
	want(t, out, "vicreg index add DIR... ", "vicreg index rebuild FILE ")
	wrong(t, `unknown command "chek": want add, `, "chek")
	wrong(t, "did you mean check?", "chekc")
}
