package indexing

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"vicreg/server/index"
)

// tarred returns a tar file of pictures by name.
func tarred(t *testing.T, files map[string][]byte) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, data := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o666, Size: int64(len(data))}); err != nil {
			t.Fatal(err)
		}
		w.Write(data)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "shard.tar")
	put(t, path, b.Bytes())
	return path
}

// With another model every item gets another vector and keeps everything else.
func TestRebuild(t *testing.T) {
	dir, old, next, file := colours(t, 5), colour(t, 1), colour(t, 2, 1, 2, 3), filepath.Join(t.TempDir(), "x.index")
	put(t, filepath.Join(dir, "kind", "a.png"), filled(t, 100, 50, 25))
	shard := tarred(t, map[string][]byte{"one.png": filled(t, 20, 30, 40), "two.png": filled(t, 50, 30, 40)})
	said(t, "add", dir, "--index", file, "--model", old)
	said(t, "add", dir, "--index", file, "--model", old, "--namespace", "again")
	said(t, "add", shard, "--index", file, "--model", old)
	wrong(t, "already has the vectors of this model", "rebuild", file, "--model", old)
	wrong(t, "--model FILE is missing", "rebuild", file)

	want(t, said(t, "rebuild", file, "--model", next), "rebuilt 14 items of ", "x.index with model ", "; 0 dropped")
	it, thumb := got(t, file, "kind/a.png"), thumbnailOf(t, file, "kind/a.png")
	if it.Vector[0] < 49 || it.Vector[0] > 51 || string(it.Metadata) != `{"label":"kind"}` || len(it.Hash) != 32 || it.Source == "" || thumb == "" {
		t.Errorf("stored %+v", it)
	}
	if v := got(t, file, "shard.tar/one.png").Vector; v[1] < 14 || v[1] > 16 {
		t.Errorf("member of a shard: %v", v)
	}
	if b := opened(t, file).Binding(); len(b.Center) != 3 || opened(t, file).Len() != 14 {
		t.Errorf("binding %+v", b)
	}
	if left, err := filepath.Glob(file + ".rebuild*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q %v", left, err)
	}
	want(t, said(t, "add", dir, "--index", file, "--model", next), "6 unchanged")
}

// Items without their files prevent the replacement and are listed; what is done is kept for when
// the files are back.
func TestRebuildMisses(t *testing.T) {
	dir, old, next, file := colours(t, 6), colour(t, 1), colour(t, 2), filepath.Join(t.TempDir(), "x.index")
	shard := tarred(t, map[string][]byte{"one.png": filled(t, 20, 30, 40)})
	said(t, "add", dir, "--index", file, "--model", old)
	said(t, "add", shard, "--index", file, "--model", old, "--namespace", "tar")
	fingerprint := opened(t, file).Binding().Fingerprint
	f, err := index.Open(t.Context(), file, index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	hash := bytes.Repeat([]byte{7}, 32)
	_, err = f.Upsert(t.Context(), "default", index.Item{ID: "bare", Vector: []float32{1, 2, 3}}, index.Item{ID: "sent", Vector: []float32{1, 2, 3}, Hash: hash}, index.Item{ID: "relative", Vector: []float32{1, 2, 3}, Hash: hash, Source: "a.png"})
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "00.png"), filled(t, 1, 1, 1))
	if err := errors.Join(os.Remove(filepath.Join(dir, "01.png")), os.WriteFile(shard, tarHead(t), 0o666)); err != nil {
		t.Fatal(err)
	}
	out, _, err := run(t.Context(), "rebuild", file, "--model", next)
	if err == nil || !strings.Contains(err.Error(), "6 items cannot be recomputed, so "+file+" stays unchanged; --drop-missing") {
		t.Fatalf("got %v", err)
	}
	want(t, out, "missing    bare: it was stored as a vector, without an image", "missing    sent: its image was sent without a path on this disk, and images are not stored", "missing    relative: its path is not absolute: a.png",
		"missing    00.png: its file has changed since it was indexed", "missing    01.png: ", "missing    shard.tar/one.png in namespace tar: it is no longer in ")
	if b := opened(t, file).Binding(); b.Fingerprint != fingerprint {
		t.Error("the index was replaced")
	}

	wrong(t, "was started with another model; remove it", "rebuild", file, "--model", colour(t, 3))
	put(t, filepath.Join(dir, "01.png"), filled(t, 10+7, 200-5, 60+31)) // as it was before
	out, errs, err := run(t.Context(), "rebuild", file, "--model", next, "--drop-missing")
	if err != nil {
		t.Fatal(err)
	}
	want(t, out, "rebuilt 5 items of ", "; 5 dropped")
	want(t, errs, "continuing after 4 of 7 items")
	if opened(t, file).Has("default", "00.png") || !opened(t, file).Has("default", "01.png") {
		t.Error("the wrong items are there")
	}
}

// tarHead returns a tar file with another picture.
func tarHead(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile(tarred(t, map[string][]byte{"other.png": filled(t, 1, 2, 3)}))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestRebuildStops(t *testing.T) {
	dir, file := colours(t, 3), filepath.Join(t.TempDir(), "x.index")
	said(t, "add", dir, "--index", file, "--model", colour(t, 1))
	before := opened(t, file).Binding().Fingerprint
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := run(ctx, "rebuild", file, "--model", colour(t, 2)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if got := opened(t, file).Binding().Fingerprint; got != before {
		t.Error("the index was replaced")
	}
}

// Anyone who may store items may name any path: only regular files are read.
func TestRebuildReadsFilesOnly(t *testing.T) {
	dir, old, file := colours(t, 1), colour(t, 1), filepath.Join(t.TempDir(), "x.index")
	said(t, "add", dir, "--index", file, "--model", old)
	pipe, list, large := filepath.Join(dir, "pipe.png"), filepath.Join(dir, "list.txt"), filepath.Join(dir, "large.png")
	put(t, list, []byte(pipe))
	put(t, large, nil)
	if err := errors.Join(syscall.Mkfifo(pipe, 0o666), os.Truncate(large, 1<<33)); err != nil {
		t.Fatal(err)
	}
	f, err := index.Open(t.Context(), file, index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var items []index.Item
	for _, source := range []string{pipe, "/dev/zero", dir, list + "/x", large} {
		items = append(items, index.Item{ID: source, Vector: []float32{1, 2, 3}, Hash: bytes.Repeat([]byte{7}, 32), Source: source})
	}
	_, err = f.Upsert(t.Context(), "default", items...)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	want(t, said(t, "rebuild", file, "--model", colour(t, 2), "--drop-missing"), pipe+" is not a file\n", "/dev/zero is not a file\n", dir+" is not a file\n",
		"it is no longer in "+list+"\n", "is over the limit of ", "rebuilt 1 item of ", "; 5 dropped")
}
