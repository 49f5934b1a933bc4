package dataset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// open indexes with an index file and dimensions.
func open(t testing.TB, name, index string) *Set {
	t.Helper()
	s, err := Open(t.Context(), name, Options{Index: index, Dimensions: true})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// described describes a set in full detail, a line per image.
func described(s *Set) []string {
	var lines []string
	for i := range s.Len() {
		e := s.Entry(i)
		lines = append(lines, fmt.Sprintf("%s [%s] %d bytes %v %dx%d", s.Key(i), s.Label(i), e.Size, e.Modified.UnixNano(), e.W, e.H))
	}
	return lines
}

// settle backdates everything below root to one time, which is trusted but identical everywhere.
func settle(t testing.TB, root string) {
	t.Helper()
	past := time.Unix(1_600_000_000, 0)
	err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Chtimes(path, past, past))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestEntries(t *testing.T) {
	root := t.TempDir()
	for i := range 7 {
		write(t, root, fmt.Sprintf("a/%d.png", i), i)
	}
	raw(t, root, "broken.jpg", []byte("nothing"))
	settle(t, root)
	s := open(t, root, NoIndex)
	for i := range 7 {
		info, _ := os.Stat(filepath.Join(root, s.Key(i)))
		want := Entry{Size: info.Size(), Modified: info.ModTime(), W: 20 + i%5, H: 18 + i%7}
		if got := s.Entry(i); got.Size != want.Size || !got.Modified.Equal(want.Modified) || got.W != want.W || got.H != want.H {
			t.Errorf("%s: %+v, want %+v", s.Key(i), got, want)
		}
	}
	if e := s.Entry(7); s.Key(7) != "broken.jpg" || e.W != 0 || e.H != 0 || e.Size != 7 {
		t.Errorf("of a file that is no picture: %+v", e)
	}
	if e := index(t, root).Entry(0); e.W != 0 || e.Size == 0 {
		t.Errorf("without a wish for dimensions: %+v", e)
	}
}

// TestASecondStartReadsOnlyWhatChanged changes a tree in various ways: the result must equal a
// fresh index each time. Which folders are read shows in Others, which counts the files there: each
// folder has one with an ending of its own.
func TestASecondStartReadsOnlyWhatChanged(t *testing.T) {
	root, at := t.TempDir(), filepath.Join(t.TempDir(), "sub", "index")
	raw(t, root, "mark.root", nil)
	for i := range 40 {
		folder := fmt.Sprintf("k%d/x%d", i%2, i%5)
		write(t, root, fmt.Sprintf("%s/%02d.png", folder, i), i)
		raw(t, root, folder+"/mark."+strings.ReplaceAll(folder, "/", ""), nil)
		raw(t, root, fmt.Sprintf("k%d/mark.k%d", i%2, i%2), nil)
	}
	settle(t, root)
	first := described(open(t, root, at))
	written, err := os.Stat(at)
	if err := errors.Join(err, os.Link(at, at+".first")); err != nil { // the link prevents reuse of its inode number
		t.Fatal(err)
	}
	for row, c := range []struct {
		change func()
		read   string // the marks of the folders that are read again, and of no others
	}{
		{func() {}, ""},
		{func() { write(t, root, "k1/x3/new.png", 50) }, ".k1x3"},
		{func() { write(t, root, "k1-/deep/er/new.png", 51) }, ".root"},
		{func() { os.Remove(filepath.Join(root, "k0/x0/00.png")) }, ".k0x0"},
		{func() { os.Rename(filepath.Join(root, "k0/x2"), filepath.Join(root, "k1/xx")) }, ".k0 .k0x2 .k1"},
		{func() { os.RemoveAll(filepath.Join(root, "k0/x4")) }, ".k0"},
		{func() { // two folders swap places, with equal times
			a, b, c := filepath.Join(root, "k1/x1"), filepath.Join(root, "k1/x3"), filepath.Join(root, "k1/c")
			os.Rename(a, c)
			os.Rename(b, a)
			os.Rename(c, b)
		}, ".k1 .k1x1 .k1x3"},
	} {
		c.change()
		set := open(t, root, at)
		got := described(set)
		if want := described(open(t, root, NoIndex)); !slices.Equal(got, want) {
			t.Errorf("after change %d:\n%s\nwant\n%s", row, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if row == 0 && !slices.Equal(got, first) {
			t.Error("nothing changed, and yet")
		}
		if read := strings.Join(slices.Sorted(maps.Keys(set.Others())), " "); read != c.read {
			t.Errorf("after change %d: read the folders with %s, want %s", row, read, c.read)
		}
		settle(t, root)
		open(t, root, at) // all times have changed
	}
	again, err := os.Stat(at)
	if err != nil || os.SameFile(again, written) {
		t.Error("the index was not written again")
	}
}

// TestTheIndexIsUsed overwrites a file in place, which leaves its folder unchanged.
func TestTheIndexIsUsed(t *testing.T) {
	root, at := t.TempDir(), filepath.Join(t.TempDir(), "index")
	for i := range 4 {
		write(t, root, fmt.Sprintf("%d.png", i), i)
	}
	settle(t, root)
	plain, err := Open(t.Context(), root, Options{Index: at})
	if err != nil || plain.Entry(0).W != 0 {
		t.Fatal(err, "or dimensions that nobody asked for")
	}
	if e := open(t, root, at).Entry(0); e.W == 0 {
		t.Error("the dimensions that the index lacks are not looked for")
	}
	before, _ := os.Stat(at)
	write(t, root, "0.png", 3)
	same, err := os.Stat(filepath.Join(root, "1.png"))
	if err != nil {
		t.Fatal(err)
	}
	raw(t, root, "1.png", make([]byte, same.Size())) // no longer an image, but with the same size and time
	if err := os.Chtimes(filepath.Join(root, "1.png"), same.ModTime(), same.ModTime()); err != nil {
		t.Fatal(err)
	}
	if e := open(t, root, at).Entry(0); e.W != 20 {
		t.Errorf("the index was not used: %+v", e)
	}
	if after, _ := os.Stat(at); !os.SameFile(before, after) {
		t.Error("an index that holds was written again")
	}
	write(t, root, "4.png", 4) // the folder changes
	if e := open(t, root, at).Entry(0); e.W != 23 {
		t.Errorf("a folder that changed was not read again: %+v", e)
	}
	if e := open(t, root, at).Entry(1); e.W != 21 {
		t.Errorf("a file that did not change was looked into again: %+v", e)
	}
	now := open(t, root, at) // the folder changed just now, so a further change may leave no trace
	info, _ := os.Stat(root)
	write(t, root, "5.png", 4)
	os.Chtimes(root, info.ModTime(), info.ModTime())
	if got := open(t, root, at); got.Len() != now.Len()+1 {
		t.Error("a change right after the index was made goes unnoticed")
	}
}

func TestWhereTheIndexIs(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv("HOME", cache)
	root, _ := folder(t, 3)
	index(t, root)
	if left, _ := os.ReadDir(cache); len(left) > 0 {
		t.Errorf("a small set leaves %v", left)
	}
	a, named := Options{}.place(&source{kind: tree, path: root})
	b, _ := Options{}.place(&source{kind: list, path: root})
	if named || a == b || !strings.HasPrefix(a, cache) {
		t.Errorf("places %s and %s", a, b)
	}
	large := filepath.Join(root, "list")
	text := []byte("kind0/000.jpg\n")
	for i := range SaveFrom {
		text = fmt.Appendf(text, "gone/%d.jpg\n", i)
	}
	raw(t, root, "list", text)
	large, _ = filepath.EvalSymlinks(large)
	index(t, large)
	c, _ := Options{}.place(&source{kind: list, path: large})
	if _, err := os.Stat(c); err != nil {
		t.Error("a large set leaves no index")
	}
	_, err := Open(t.Context(), root, Options{Index: filepath.Join(root, "kind1/001.png", "index")})
	if err == nil || !strings.Contains(err.Error(), "save the index") {
		t.Errorf("an index that cannot be written where it was asked for: %v", err)
	}
}

func TestOpenEndsWithItsContext(t *testing.T) {
	root, _ := folder(t, 3)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, root, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// saved returns an index file with data in every section, and its source.
func saved(t testing.TB) ([]byte, *source, *listing) {
	t.Helper()
	s := &source{kind: shards, path: "/data/{0..1}.tar"}
	var b builder
	for i, key := range []string{"0.tar/a.jpg", "0.tar/b/c.png", "1.tar/x.jpg"} {
		b.name(key)
		b.as([]string{"cat", "dog", "cat"}[i])
		b.files = append(b.files, file{size: int64(100 * i), modified: 1e18, w: 3, h: 4})
		b.offsets = append(b.offsets, int64(512*i))
	}
	table, err := b.finish()
	if err != nil {
		t.Fatal(err)
	}
	x := &listing{table: table, parts: []part{{"0.tar", 9000, -5, 1 << 60}, {"1.tar", 1, unsettled, 0}}}
	var w bytes.Buffer
	if err := writeIndex(&w, s, x); err != nil {
		t.Fatal(err)
	}
	return w.Bytes(), s, x
}

func parse(data []byte, s *source) (*listing, error) {
	return readIndex(bytes.NewReader(data), int64(len(data)), s)
}

func TestAnIndexFileIsReadAsItWasWritten(t *testing.T) {
	data, s, want := saved(t)
	got, err := parse(data, s)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got.parts) != fmt.Sprint(want.parts) || got.table.keys != want.table.keys ||
		fmt.Sprint(got.table.ends, got.table.files, got.table.labels, got.table.label, got.table.offsets) !=
			fmt.Sprint(want.table.ends, want.table.files, want.table.labels, want.table.label, want.table.offsets) {
		t.Errorf("read %+v of %+v", got, want)
	}
}

func TestADamagedIndexIsNotTrusted(t *testing.T) {
	data, s, _ := saved(t)
	for at := range data {
		if _, err := parse(data[:at], s); err == nil {
			t.Errorf("cut at %d of %d bytes, it is read", at, len(data))
		}
		for bit := range 8 {
			flipped := bytes.Clone(data)
			flipped[at] ^= 1 << bit
			if _, err := parse(flipped, s); err == nil {
				t.Errorf("with bit %d of byte %d flipped, it is read", bit, at)
			}
		}
	}
	for name, change := range map[string]func(s *source){
		"another source":         func(s *source) { s.path = "/data/{0..2}.tar" },
		"another kind of source": func(s *source) { s.kind = list },
	} {
		other := *s
		change(&other)
		if _, err := parse(data, &other); err == nil {
			t.Errorf("the index of %s is read", name)
		}
	}
	if _, err := parse(append(bytes.Clone(data), 0), s); err == nil {
		t.Error("with a byte too many, it is read")
	}
}

// TestAnIndexThatDoesNotFitIsNotTrusted writes files with valid checksums but inconsistent
// contents.
func TestAnIndexThatDoesNotFitIsNotTrusted(t *testing.T) {
	for name, change := range map[string]func(x *listing){
		"keys out of order": func(x *listing) { x.table.keys = strings.Replace(x.table.keys, "a.jpg", "z.jpg", 1) },
		"a wrong end":       func(x *listing) { x.table.ends[0] = 1 << 30 },
		"a row too few":     func(x *listing) { x.table.files = x.table.files[:2] },
		"no labels":         func(x *listing) { x.table.label = nil },
		"two labels":        func(x *listing) { x.table.label = x.table.label[:2] },
		"a wrong label":     func(x *listing) { x.table.label[1] = 2 },
		"a wrong size":      func(x *listing) { x.table.files[1].size = -1 },
		"a wrong offset":    func(x *listing) { x.table.offsets[1] = -1 },
		"a missing shard":   func(x *listing) { x.parts = x.parts[:1] },
		"text left over":    func(x *listing) { x.table.keys += "x" },
	} {
		_, s, x := saved(t)
		change(x)
		var w bytes.Buffer
		if err := writeIndex(&w, s, x); err != nil {
			t.Fatal(err)
		}
		if _, err := parse(w.Bytes(), s); err == nil {
			t.Errorf("with %s, it is read", name)
		}
	}
}

func TestADamagedIndexIsMadeAnew(t *testing.T) {
	root, at := t.TempDir(), filepath.Join(t.TempDir(), "index")
	for i := range 5 {
		write(t, root, fmt.Sprintf("a/%d.png", i), i)
	}
	settle(t, root)
	want := described(open(t, root, at))
	data, err := os.ReadFile(at)
	if err != nil {
		t.Fatal(err)
	}
	for _, damaged := range [][]byte{nil, data[:len(data)/2], []byte("foreign"), bytes.Replace(data, []byte("a/3.png"), []byte("a/3.gif"), 1)} {
		if err := os.WriteFile(at, damaged, 0o666); err != nil {
			t.Fatal(err)
		}
		if got := described(open(t, root, at)); !slices.Equal(got, want) {
			t.Errorf("from an index of %d bytes:\n%s", len(damaged), strings.Join(got, "\n"))
		}
		if mended, _ := os.ReadFile(at); !bytes.Equal(mended, data) {
			t.Error("a damaged index is not replaced")
		}
	}
}

// TestWriteIndexReportsErrors simulates a disk that fills up at every possible point.
func TestWriteIndexReportsErrors(t *testing.T) {
	data, s, x := saved(t)
	for room := range len(data) {
		if err := writeIndex(&full{room}, s, x); !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("with %d bytes left on the disk: %v", room, err)
		}
	}
}

type full struct{ room int }

func (f *full) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, io.ErrShortWrite
	}
	return len(p), nil
}
