package indexing

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vicreg/pipeline/usage"
	"vicreg/server/index"
)

// opened opens an index read-only, for inspection.
func opened(t *testing.T, path string) *index.File {
	t.Helper()
	f, err := index.Open(t.Context(), path, index.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// got returns an item of the default namespace.
func got(t *testing.T, path, id string) *index.Item {
	t.Helper()
	it, err := opened(t, path).Get(t.Context(), index.DefaultNamespace, id)
	if err != nil {
		t.Fatal(err)
	}
	return it
}

// A folder is added to an index once; afterwards only what has changed there is processed again.
func TestAdd(t *testing.T) {
	dir, model := colours(t, 9), colour(t, 1)
	put(t, filepath.Join(dir, "cats", "a.png"), filled(t, 250, 1, 1))
	put(t, filepath.Join(dir, "cut.png"), []byte("\x89PNG"))
	file := filepath.Join(t.TempDir(), "photos.index")
	args := []string{"add", dir, "--index", file, "--model", model}
	want(t, said(t, args...), "photos.index, namespace default: 10 new, 0 changed, 0 with new metadata or path, 0 unchanged, 1 bad; 10 items", "bad        cut.png: ")

	it := got(t, file, "cats/a.png")
	data, err := os.ReadFile(filepath.Join(dir, "cats", "a.png"))
	if err != nil {
		t.Fatal(err)
	}
	source, err := filepath.EvalSymlinks(filepath.Join(dir, "cats", "a.png"))
	if err != nil {
		t.Fatal(err)
	}
	if hash := sha256.Sum256(data); string(it.Metadata) != `{"label":"cats"}` || it.Source != source || string(it.Hash) != string(hash[:]) || it.Vector[0] < 249 {
		t.Errorf("stored %+v, want source %s", it, source)
	}
	if small, err := opened(t, file).Thumbnail(t.Context(), "default", "cats/a.png"); err != nil || len(small) == 0 {
		t.Errorf("thumbnail of %d bytes, %v", len(small), err)
	}

	want(t, said(t, args...), "0 new, 0 changed, 0 with new metadata or path, 10 unchanged, 1 bad; 10 items")

	put(t, filepath.Join(dir, "00.png"), filled(t, 0, 0, 9))
	put(t, filepath.Join(dir, "new.png"), filled(t, 0, 9, 9))
	put(t, filepath.Join(dir, "cut.png"), filled(t, 9, 9, 9))
	if err := os.Remove(filepath.Join(dir, "01.png")); err != nil {
		t.Fatal(err)
	}
	want(t, said(t, args...), "2 new, 1 changed, 0 with new metadata or path, 8 unchanged, 0 bad; 12 items", "gone       01.png\n", "--prune removes them")
	if v := got(t, file, "00.png").Vector; v[2] < 8.9 || v[0] > 0.1 {
		t.Errorf("after the change: %v", v)
	}
	want(t, said(t, append(args, "--prune")...), "11 unchanged, 0 bad; 11 items", "gone       01.png\n", "removed 1 image no longer in")
	if opened(t, file).Has("default", "01.png") {
		t.Error("01.png is still there")
	}
	want(t, said(t, append(args, "--prune")...), "11 unchanged, 0 bad; 11 items")

	want(t, said(t, append(args, "--namespace", "other")...), "namespace other: 11 new")
}

// An image does not lose its id to one of the same name in another folder; a prefix makes room
// for both. An image that has moved keeps its id.
func TestAddFromElsewhere(t *testing.T) {
	dir, other, model, file := colours(t, 3), filepath.Join(t.TempDir(), "B"), colour(t, 1), filepath.Join(t.TempDir(), "x.index")
	args := []string{"--index", file, "--model", model}
	said(t, append([]string{"add", dir}, args...)...)
	for _, name := range []string{"00.png", "01.png"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(other, name), data)
	}
	said(t, append([]string{"add", other}, args...)...) // copies, which add nothing new
	put(t, filepath.Join(other, "02.png"), filled(t, 7, 7, 7))
	before := got(t, file, "02.png")
	out := said(t, append([]string{"add", other}, args...)...)
	want(t, out, " 0 changed, ", " 2 unchanged, 0 bad; 3 items", "kept       02.png already belongs to "+before.Source+"\n", "skipped 1 image whose ids belong to other images; use --prefix TEXT ")
	if it := got(t, file, "02.png"); it.Source != before.Source || it.Vector[0] != before.Vector[0] {
		t.Errorf("%+v became %+v", before, it)
	}
	table := filepath.Join(t.TempDir(), "m.csv")
	put(t, table, []byte("id,n\n02.png,1\nB/01.png,2\nB/03.png,3\n"))
	out = said(t, append([]string{"add", other, "--prefix", "B/", "--metadata", table}, args...)...)
	want(t, out, " 3 new, ", "; 6 items", "already indexed under another id: 2 images, such as 00.png\n", "1 row of "+table+" without an image, such as B/03.png")
	if it := got(t, file, "B/02.png"); it.Vector[0] > 7.1 || string(it.Metadata) != `{"n":1}` || string(got(t, file, "B/01.png").Metadata) != `{"n":2}` {
		t.Errorf("stored %+v", it)
	}
	want(t, said(t, append([]string{"add", other, "--prefix", "B/"}, args...)...), " 3 unchanged, 0 bad; 6 items")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	out = said(t, append([]string{"add", other}, args...)...)
	want(t, out, " 1 changed, ", "1 of the changed images replaced images with the same ids whose files no longer exist\n")
	wrong(t, "--prefix: it ", append([]string{"add", other, "--prefix", "a\nb"}, args...)...)
}

// Adding an export to the index it came from changes nothing, whatever its format contains.
func TestAddVectorsKeeps(t *testing.T) {
	dir, model, file := colours(t, 4), colour(t, 1), filepath.Join(t.TempDir(), "x.index")
	said(t, "add", dir, "--index", file, "--model", model)
	before, small := got(t, file, "01.png"), thumbnailOf(t, file, "01.png")
	kept := func(name string) {
		t.Helper()
		it := got(t, file, "01.png")
		if it.Source != before.Source || string(it.Hash) != string(before.Hash) || it.Vector[0] != before.Vector[0] || thumbnailOf(t, file, "01.png") != small {
			t.Errorf("%s: %+v became %+v", name, before, it)
		}
	}
	table := filepath.Join(t.TempDir(), "m.csv")
	for _, name := range []string{"v.npy", "v.parquet", "v.jsonl"} {
		rows := filepath.Join(t.TempDir(), name)
		said(t, "export", file, "-o", rows)
		want(t, said(t, "add", rows, "--index", file), "0 new, 0 changed, 0 with new metadata or path, 4 unchanged, 0 bad; 4 items")
		kept(name)
		put(t, table, []byte("id,format\n01.png,"+name+"\n"))
		want(t, said(t, "add", rows, "--index", file, "--metadata", table), "0 changed, 1 with new metadata or path, 3 unchanged")
		kept(name)
		if it := got(t, file, "01.png"); string(it.Metadata) != `{"format":"`+name+`"}` {
			t.Errorf("%s: metadata %s", name, it.Metadata)
		}
		want(t, said(t, "add", rows, "--index", file, "--prefix", name+"/", "--namespace", name), "4 new")
	}
	want(t, said(t, "add", dir, "--index", file, "--model", model), "4 unchanged")
}

// A different vector belongs to another file: the old hash and thumbnail no longer apply.
func TestAddVectorsReplaces(t *testing.T) {
	dir, model, file := colours(t, 2), colour(t, 1), filepath.Join(t.TempDir(), "x.index")
	said(t, "add", dir, "--index", file, "--model", model)
	before := got(t, file, "01.png")
	rows := filepath.Join(t.TempDir(), "v.jsonl")
	said(t, "export", file, "-o", rows)
	put(t, rows, []byte(`{"path":"00.png","embedding":[1,2,3],"source":"/elsewhere/00.png"}`+"\n"+`{"path":"01.png","embedding":[1,2,3]}`))
	want(t, said(t, "add", rows, "--index", file), "1 changed", "kept       00.png already belongs to "+got(t, file, "00.png").Source+"\n")
	if it := got(t, file, "01.png"); it.Vector[2] != 3 || it.Source != before.Source || it.Hash != nil || it.Pictured {
		t.Errorf("stored %+v", it)
	}
	want(t, said(t, "add", dir, "--index", file, "--model", model), "1 changed", "1 unchanged") // and this repairs it
}

func TestAddMetadata(t *testing.T) {
	dir, model, file := colours(t, 3), colour(t, 1), filepath.Join(t.TempDir(), "x.index")
	table := filepath.Join(t.TempDir(), "m.csv")
	args := []string{"add", dir, "--index", file, "--model", model}
	said(t, args...)
	vector, small := got(t, file, "01.png").Vector, thumbnailOf(t, file, "01.png")

	put(t, table, []byte("path,year\n01.png,2020\nnone.png,1999\n"))
	want(t, said(t, append(args, "--metadata", table)...), "0 new, 0 changed, 1 with new metadata or path, 2 unchanged, 0 bad; 3 items",
		"1 row of "+table+" without an image, such as none.png")
	it := got(t, file, "01.png")
	if string(it.Metadata) != `{"year":2020}` || it.Vector[0] != vector[0] || thumbnailOf(t, file, "01.png") != small || len(it.Hash) != 32 {
		t.Errorf("stored %+v", it)
	}
	want(t, said(t, args...), "3 unchanged") // existing metadata is kept
	put(t, table, []byte("year,file\n2021,./01.png\n"))
	want(t, said(t, append(args, "--metadata", table, "--key", "file")...), "1 with new metadata or path, 2 unchanged")
	if it := got(t, file, "01.png"); string(it.Metadata) != `{"year":2021}` {
		t.Errorf("metadata %s", it.Metadata)
	}
}

func thumbnailOf(t *testing.T, file, id string) string {
	t.Helper()
	b, err := opened(t, file).Thumbnail(t.Context(), "default", id)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The output of embed or an export can be added as well.
func TestAddVectors(t *testing.T) {
	dir, model, file := colours(t, 5), colour(t, 1, 1, 2, 3), filepath.Join(t.TempDir(), "x.index")
	table := filepath.Join(t.TempDir(), "m.jsonl")
	put(t, table, []byte(`{"id":"01.png","n":[1,2]}`))
	said(t, "add", dir, "--index", file, "--model", model, "--metadata", table)
	for _, name := range []string{"v.npy", "v.parquet", "v.jsonl"} {
		rows := filepath.Join(t.TempDir(), name)
		want(t, said(t, "export", file, "-o", rows), "5 vectors of 3 numbers")
		other := filepath.Join(t.TempDir(), "other.index")
		if _, _, err := run(t.Context(), "add", rows, "--index", other); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: an index of no model: %v", name, err)
		}
		want(t, said(t, "add", rows, "--index", other, "--model", model), "5 new")
		want(t, said(t, "add", rows, "--index", other), "5 unchanged")
		a, b := got(t, file, "01.png"), got(t, other, "01.png")
		if a.Vector[0] != b.Vector[0] || opened(t, other).Binding().Center == nil {
			t.Errorf("%s: %v became %v", name, a, b)
		}
		if name == "v.jsonl" {
			if string(a.Metadata) != string(b.Metadata) || a.Source != b.Source || string(a.Hash) != string(b.Hash) {
				t.Errorf("%+v became %+v", a, b)
			}
		} else if b.Source != "01.png" || b.Hash != nil {
			t.Errorf("%s: stored %+v", name, b)
		}
		text, err := os.ReadFile(rows + ".json")
		if err != nil {
			t.Fatal(err)
		}
		put(t, rows+".json", []byte(strings.Replace(string(text), `"normalized": false`, `"normalized": true`, 1)))
		wrong(t, "written with --normalize", "add", rows, "--index", other)
		wrong(t, "written with --normalize", "add", rows, "--index", filepath.Join(t.TempDir(), "x"), "--model", model)
		put(t, rows+".json", []byte(strings.Replace(string(text), `"normalized": false`, `"centered": true, "normalized": false`, 1)))
		wrong(t, "written with --center", "add", rows, "--index", other)
		wrong(t, "written with --center", "add", rows, "--index", filepath.Join(t.TempDir(), "x"), "--model", model)
		put(t, rows+".json", []byte(strings.Replace(string(text), `"normalized": false`, `"normalized": true`, 1)))
		if name == "v.jsonl" { // normalised by hand, which the file does not record
			short := strings.Replace(string(textOf(t, rows)), `"embedding":[`, `"embedding":[0.6,0.8,0],"was":[`, 1)
			put(t, rows, []byte(short))
			put(t, rows+".json", text)
			want(t, said(t, "add", rows, "--index", other), "4 unchanged, 1 bad", "its vector has length 1: the index first subtracts the model's mean")
		}
		put(t, rows+".json", []byte(strings.Replace(string(text), opened(t, file).Binding().Fingerprint, "f00d", 1)))
		wrong(t, "the vectors are from model f00d, but those of "+other+" are from "+opened(t, file).Binding().Fingerprint, "add", rows, "--index", other)
	}
}

// Images given by name get the ids that their folder would give them, alone or together with
// others; a metadata file may refer to them by path.
func TestAddImages(t *testing.T) {
	dir, model := colours(t, 4), colour(t, 1)
	put(t, filepath.Join(dir, "cats", "a.png"), filled(t, 250, 1, 1))
	put(t, filepath.Join(dir, "cats", "00.png"), filled(t, 2, 1, 1))
	file, about := filepath.Join(t.TempDir(), "photos.index"), filepath.Join(t.TempDir(), "m.csv")
	put(t, about, []byte("path,year\n"+filepath.Join(dir, "02.png")+",2020\n"))
	add := func(names ...string) []string {
		args := []string{"add", "--index", file, "--model", model}
		for _, n := range names {
			args = append(args, filepath.Join(dir, n))
		}
		return args
	}
	want(t, said(t, append(add("02.png", "00.png"), "--metadata", about)...), "2 new, ", "2 items")
	if it := got(t, file, "02.png"); string(it.Metadata) != `{"year":2020}` {
		t.Errorf("stored %+v", it)
	}
	want(t, said(t, add("0[0-2].png", "cats/a.png")...), "2 new, 0 changed, 0 with new metadata or path, 2 unchanged", "4 items")
	want(t, said(t, add("")...), "3 new, 0 changed, 0 with new metadata or path, 3 unchanged", "7 items", "already indexed under another id: 1 image, such as a.png")
	wrong(t, "would both be called 00.png", add("00.png", "cats")...)
	wrong(t, "the index does not record which images came from lists and single files, as in "+dir, append(add("00.png"), "--prune")...)
	wrong(t, "a file of vectors must be the only DIR", add("00.png", "v.npy")...)
}

// wrong checks that a command rejects its input.
func wrong(t *testing.T, words string, args ...string) {
	t.Helper()
	var bad *usage.Error
	if _, _, err := run(t.Context(), args...); !errors.As(err, &bad) || !strings.Contains(err.Error(), words) {
		t.Errorf("%s: got %v, want %q", strings.Join(args, " "), err, words)
	}
}

func TestAddRefuses(t *testing.T) {
	dir, model, file := colours(t, 2), colour(t, 1), filepath.Join(t.TempDir(), "x.index")
	list := filepath.Join(t.TempDir(), "list.txt")
	put(t, list, []byte(filepath.Join(dir, "00.png")))
	said(t, "add", dir, "--index", file, "--model", model)
	wrong(t, "or recompute its vectors for this one: vicreg index rebuild "+file+" --model FILE", "add", dir, "--index", file, "--model", colour(t, 2))
	for words, args := range map[string][]string{
		"--index FILE or --server URL is missing": {dir},
		"mutually exclusive":                      {dir, "--index", file, "--server", "http://x"},
		"--model requires --index: a server ":     {dir, "--server", "http://x", "--model", model},
		"--threads requires --index":              {dir, "--server", "http://x", "--threads", "2"},
		"--api-key-file requires --server":        {dir, "--index", file, "--model", model, "--api-key-file", list},
		"--model FILE is missing":                 {dir, "--index", file},
		"--key requires --metadata":               {dir, "--index", file, "--model", model, "--key", "x"},
		"--prune is for folders and shards":       {"x.npy", "--index", file, "--prune"},
		"give their ids to vicreg index remove":   {t.TempDir(), "--index", file, "--model", model, "--prune"},
		"does not record which images came from":  {list, "--index", file, "--model", model, "--prune"},
		"--namespace: it is empty":                {dir, "--index", file, "--model", model, "--namespace", ""},
		"does not exist":                          {filepath.Join(dir, "none"), "--index", file, "--model", model},
		"no such file":                            {dir, "--index", file, "--model", filepath.Join(dir, "none.onnx")},
		"names no model":                          {badVectors(t), "--index", file},
		"m.csv: open":                             {dir, "--index", file, "--model", model, "--metadata", filepath.Join(dir, "m.csv")},
		"not a vicreg index":                      {dir, "--index", list, "--model", model},
		"want http://HOST:PORT":                   {dir, "--server", "localhost:8080"},
		"it contains no key":                      {dir, "--server", "http://localhost:1", "--api-key-file", os.DevNull},
	} {
		wrong(t, strings.Replace(words, "m.csv: open", "--metadata: open", 1), append([]string{"add"}, args...)...)
	}
	f, err := index.Open(t.Context(), file, index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	wrong(t, "vicreg index add --server URL", "add", dir, "--index", file, "--model", model)
}

func badVectors(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "v.npy")
	put(t, path, nil)
	put(t, path+".json", []byte("{}"))
	return path
}

// What cannot be stored is detected before an image is encoded.
func TestAddOfWhatHasNoRoom(t *testing.T) {
	dir, file := colours(t, 2), filepath.Join(t.TempDir(), "x.index")
	put(t, filepath.Join(dir, "a\tb.png"), filled(t, 1, 2, 3))
	want(t, said(t, "add", dir, "--index", file, "--model", colour(t, 1)), "2 new", "1 bad", "has control characters")
}

func TestAddOfNothingGood(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "a.png"), nil)
	_, _, err := run(t.Context(), "add", dir, "--index", filepath.Join(t.TempDir(), "x"), "--model", colour(t, 1))
	if err == nil || !strings.Contains(err.Error(), "none of the 1 images could be indexed; a.png: ") {
		t.Errorf("got %v", err)
	}
}

// A cancelled run leaves an index with which the same command continues.
func TestAddStops(t *testing.T) {
	dir, model, file := colours(t, 4), colour(t, 1), filepath.Join(t.TempDir(), "x.index")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := run(ctx, "add", dir, "--index", file, "--model", model); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	want(t, said(t, "add", dir, "--index", file, "--model", model), "4 new")
}

// Files whose names are not those of images are reported, and not counted.
func TestAddTellsWhatItSkips(t *testing.T) {
	dir := colours(t, 3)
	put(t, filepath.Join(dir, "scan.bmp"), []byte("BM"))
	out, errs, err := run(t.Context(), "add", dir, "--index", filepath.Join(t.TempDir(), "photos.index"), "--model", colour(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	want(t, out, "3 new")
	want(t, errs, "skipped 1 file without an image extension (.bmp 1)\n")
}

func textOf(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
