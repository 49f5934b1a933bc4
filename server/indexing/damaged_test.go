package indexing

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vicreg/server/index"
)

// harmed returns an index of the pictures of a folder, NN.png, in which the rows of 03.png and
// 07.png and the thumbnail of 05.png are damaged.
func harmed(t *testing.T, model, dir string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "x.index")
	said(t, "add", dir, "--index", file, "--model", model)
	f := opened(t, file)
	thumbnail, err := f.Thumbnail(t.Context(), "default", "05.png")
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	flip := func(text []byte, at int) {
		if n := bytes.Count(data, text); n != 1 {
			t.Fatalf("%.20q is %d times in the file", text, n)
		}
		data[bytes.Index(data, text)+at] ^= 4
	}
	for _, name := range []string{"03.png", "07.png"} {
		flip([]byte("/"+name+"{"), 0) // the end of its source
	}
	flip(thumbnail, 30)
	put(t, file, data)
	return file
}

// Everything that is damaged is listed; commands do without it and say so; it can be removed, and
// what was left of it is kept.
func TestDamagedIndex(t *testing.T) {
	dir, model := colours(t, 20), colour(t, 1)
	file := harmed(t, model, dir)
	out, _, err := run(t.Context(), "check", file)
	want(t, out, "damaged    03.png in namespace default: its row fails its checksum\n", "damaged    07.png in namespace default: its row fails its checksum\n",
		"damaged    05.png in namespace default: its thumbnail fails its checksum\n")
	if !errors.Is(err, index.ErrDamaged) || strings.Count(out, "\n") != 3 {
		t.Errorf("%v\n%s", err, out)
	}
	want(t, err.Error(), "2 damaged items and 1 damaged thumbnails, and 18 sound items", "vicreg index remove FILE --damaged")
	copied := filepath.Join(t.TempDir(), "copy.index")
	for _, args := range [][]string{{"info", file}, {"backup", file, "-o", copied}, {"export", file, "-o", filepath.Join(t.TempDir(), "v.jsonl")}, {"duplicates", file}, {"search", file, "--id", "00.png"}, {"compact", file}} {
		_, errs, err := run(t.Context(), args...)
		if err != nil || !strings.Contains(errs, "has 2 damaged items, which are left out, such as 03.png in namespace default") {
			t.Errorf("%s: %v, %s", args[0], err, errs)
		}
	}
	want(t, said(t, "info", file), "items       18\ndamaged     2 more, which are left out\n")
	if again, _, err := run(t.Context(), "check", copied); again != out || err == nil {
		t.Errorf("of the copy: %v, %s", err, again)
	}

	put(t, file+remainsSuffix, []byte("{\"id\":\"earlier\"}\n"))
	out = said(t, "remove", file, "--damaged")
	want(t, out, "removed    03.png in namespace default: its row fails its checksum\n", "removed    07.png in ", "removed    05.png in namespace default: its thumbnail ",
		"removed 2 damaged items and 1 damaged thumbnails from "+file+"; what could be read of them is in "+file+".damaged.jsonl\n")
	want(t, said(t, "check", file), "is intact: 18 items")
	kept := remains(t, file)
	if len(kept) != 4 || kept[0].ID != "earlier" || kept[1].ID != "03.png" || kept[2].Columns["hash"] == nil || kept[3].Columns["jpeg"] == nil || !kept[3].Thumbnail {
		t.Errorf("kept %+v", kept)
	}
	out = said(t, "remove", file, "--damaged")
	want(t, out, "removed 0 damaged items and 0 damaged thumbnails from "+file+"\n")
	if len(remains(t, file)) != 4 {
		t.Error("what was kept is gone")
	}
}

type remain struct {
	ID        string
	Thumbnail bool
	Columns   map[string]any
}

// remains reads what was kept of damaged items.
func remains(t *testing.T, file string) (all []remain) {
	t.Helper()
	text, err := os.ReadFile(file + remainsSuffix)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var r remain
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// Items are mended by adding their images again, and removed by their ids.
func TestDamagedItemsAreMended(t *testing.T) {
	dir, model := colours(t, 20), colour(t, 1)
	file := harmed(t, model, dir)
	want(t, said(t, "remove", file, "03.png"), "removed 1 item of namespace default")
	want(t, said(t, "add", dir, "--index", file, "--model", model, "--prune"), "2 new, 0 changed", "; 20 items\n")
	if out, _, _ := run(t.Context(), "check", file); out != "damaged    05.png in namespace default: its thumbnail fails its checksum\n" {
		t.Errorf("left is %s", out)
	}
	if source := got(t, file, "07.png").Source; source != filepath.Join(dir, "07.png") {
		t.Errorf("the source is %s", source)
	}
}

// A rebuild does not drop damaged items unless it is told to.
func TestRebuildMissesDamaged(t *testing.T) {
	dir := colours(t, 20)
	file := harmed(t, colour(t, 1), dir)
	next := colour(t, 2)
	out, _, err := run(t.Context(), "rebuild", file, "--model", next)
	want(t, out, "missing    03.png: its row fails its checksum\n", "missing    07.png: ")
	if err == nil || !strings.Contains(err.Error(), "2 items cannot be recomputed") {
		t.Errorf("got %v", err)
	}
	want(t, said(t, "rebuild", file, "--model", next, "--drop-missing"), "rebuilt 18 items of ", "; 2 dropped")
}

// Damaged items are not removed from a file whose pages are damaged, and check does not advise it.
func TestDamagedStructure(t *testing.T) {
	file := harmed(t, colour(t, 1), colours(t, 20))
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[39] = 1 // a free page, of which there is no list
	put(t, file, data)
	out, _, err := run(t.Context(), "check", file)
	want(t, out, "damaged    03.png in namespace default", "damaged    the file: ")
	if !errors.Is(err, index.ErrDamaged) || !strings.Contains(err.Error(), "replace it with a backup") || strings.Contains(err.Error(), "--damaged") {
		t.Errorf("check: %v", err)
	}
	out, _, err = run(t.Context(), "remove", file, "--damaged")
	if !errors.Is(err, index.ErrDamaged) || !strings.Contains(err.Error(), "vicreg index restore") || out != "" {
		t.Errorf("remove: %v, %s", err, out)
	}
	if _, err := os.Stat(file + remainsSuffix); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is not removed is kept: %v", err)
	}
}

func TestRemoveDamagedAlone(t *testing.T) {
	for _, args := range [][]string{{"x.index", "a"}, {"x.index", "--all", "--namespace", "n"}, {"x.index", "--namespace", "n"}, {"--server", "http://localhost:1"}} {
		wrong(t, "--damaged goes with FILE alone", append([]string{"remove", "--damaged"}, args...)...)
	}
	wrong(t, "file does not exist", "remove", filepath.Join(t.TempDir(), "none.index"), "--damaged")
}

// An item that a server cannot read can be removed.
func TestRemoveUnreadable(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/info":
			io.WriteString(w, `{"fingerprint":"f00d","dim":3,"limits":{"body_bytes":4000,"images":5},"index":{"fingerprint":"f00d","similarity":"cosine"}}`)
		case r.Method == http.MethodGet:
			refuse(w, http.StatusInternalServerError, "it is damaged")
		}
	}))
	defer s.Close()
	want(t, said(t, "remove", "--server", s.URL, "a"), "removed 1 item of namespace default")
}
