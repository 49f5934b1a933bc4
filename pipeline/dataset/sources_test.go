package dataset

import (
	"archive/tar"
	"bytes"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// lines returns a set as "key [label]" lines.
func lines(s *Set) []string {
	var all []string
	for i := range s.Len() {
		all = append(all, fmt.Sprintf("%s [%s]", s.Key(i), s.Label(i)))
	}
	return all
}

// refused checks that err is a single line that contains want.
func refused(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, want one line with %q", err, want)
	}
}

func TestList(t *testing.T) {
	root, elsewhere := t.TempDir(), t.TempDir()
	write(t, root, "sub/a.png", 1)
	write(t, root, "no extension.png", 2)
	os.Rename(filepath.Join(root, "no extension.png"), filepath.Join(root, "no extension"))
	write(t, elsewhere, "b.jpg", 3)
	write(t, filepath.Dir(root), filepath.Base(root)+"-beside.png", 4)
	t.Cleanup(func() { os.Remove(root + "-beside.png") })
	out := filepath.ToSlash(filepath.Join(elsewhere, "b.jpg"))
	raw(t, root, "list.txt", []byte("\ufeff# what is here\r\n\nsub/a.png\tcat\r\n  \n./sub//a.png\tcat\nno extension\n"+
		out+"\tdog and cat\n../"+filepath.Base(root)+"-beside.png\ngone.png\tcat"))
	s := index(t, filepath.Join(root, "list.txt"))
	want := []string{"../" + filepath.Base(root) + "-beside.png []", out + " [dog and cat]", "gone.png [cat]", "no extension []", "sub/a.png [cat]"}
	if got := lines(s); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	r := NewReader(s, ReaderConfig{})
	for i := range s.Len() {
		if _, err := r.Image(i); (err != nil) != (s.Key(i) == "gone.png") {
			t.Errorf("%s: %v", s.Key(i), err)
		}
	}
}

func TestListRefuses(t *testing.T) {
	root := t.TempDir()
	write(t, root, "a.png", 1)
	for text, want := range map[string]string{
		"a.png\tcat\na.png\tdog\n": `a.png is listed with the labels "cat" and "dog"`,
		"\ta.png\n":                "line 1 is not a path",
		"a.png\nx\n" + strings.Repeat("y", maxLine): "line 3: ",
		"# nothing\n":             "no image in",
		"b.png\nc.png\n":          "none of the listed files exists, for example " + root,
		"path,label\na.png,cat\n": "; separate a path and its label with a tab, not a comma",
		"a.png\x00":               "is not a folder, a tar file, a text file",
	} {
		raw(t, root, "list", []byte(text))
		_, err := Index(filepath.Join(root, "list"))
		refused(t, err, want)
	}
	raw(t, root, "list", []byte("b, c.png\n"))
	if _, err := Index(filepath.Join(root, "list")); err == nil || strings.Contains(err.Error(), "label") {
		t.Errorf("of a comma in a name: %v", err)
	}
	raw(t, root, "list", []byte("gone.png\n"))
	_, err := Open(t.Context(), filepath.Join(root, "list"), Options{Dimensions: true})
	refused(t, err, "none of the listed files exists")
	letters := strings.Repeat("ä", sniffed) + ".png"
	raw(t, root, "list", []byte("x"+letters+"\na.png\n"))
	if _, err := Index(filepath.Join(root, "list")); err != nil {
		t.Errorf("a letter across the end of what is looked at first: %v", err)
	}
}

func TestAListIsReadAgainWhenItChanges(t *testing.T) {
	root, at := t.TempDir(), filepath.Join(t.TempDir(), "index")
	write(t, root, "a.png", 1)
	write(t, root, "b.png", 2)
	list := filepath.Join(root, "list")
	raw(t, root, "list", []byte("a.png\tcat\n"))
	settle(t, root)
	for _, text := range []string{"a.png\tcat\n", "a.png\tcat\nb.png\n", "b.png\tdog\n"} {
		if text != "a.png\tcat\n" {
			raw(t, root, "list", []byte(text))
		}
		got, want := described(open(t, list, at)), described(open(t, list, NoIndex))
		if !slices.Equal(got, want) || len(got) != strings.Count(text, "\n") {
			t.Errorf("of %q:\n%q, want\n%q", text, got, want)
		}
		settle(t, root)
	}
}

// member is a member of a tar file.
type member struct {
	name, text string
	kind       byte
}

func picture(n int) string {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 10+n, 20))); err != nil {
		panic(err)
	}
	return b.String()
}

func pack(t testing.TB, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		h := &tar.Header{Name: m.name, Typeflag: m.kind, Mode: 0o644, Size: int64(len(m.text))}
		if m.kind == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Typeflag == tar.TypeSymlink {
			h.Linkname = "a.png"
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, m.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A label comes from .cls, else from .json, else from the folder; .json members without a label are
// ignored.
func TestLabelsInShards(t *testing.T) {
	root := t.TempDir()
	members := []member{{name: "k/cls.png", text: picture(1)}, {name: "k/cls.cls", text: "first\n"}, {name: "k/cls.json", text: `{"label": "second"}`}}
	want := []string{"k/cls.png [first]"}
	for i, c := range []struct{ object, label string }{
		{`{"label": "cat", "cls": 7}`, "cat"}, {`{"cls": " dog\u0021 "}`, "dog!"}, {`{"caption": "x", "label": 7}`, "7"}, {`{"cls": -1.50e3}`, "-1.50e3"},
		{`{"label": null, "cls": 0}`, "0"}, {`{"label": ["cat"], "cls": "dog"}`, "dog"}, {`{"label": ""}`, "k"}, {`{"label": " ", "cls": "dog"}`, "dog"}, {"\ufeff" + `{"label": "cat"}`, "cat"},
		{`{"label": true}`, "k"}, {`{"label": {"cls": 3}}`, "k"}, {`{"Label": "cat"}`, "k"}, {`{"caption": "cat"}`, "k"}, {`[1]`, "k"}, {`null`, "k"}, {`"label"`, "k"},
		{`{"label": "cat"`, "k"}, {`{"label": "cat"} x`, "k"}, {"", "k"}, {"\xff", "k"},
		{`{"label": "` + strings.Repeat("x", maxLabel+1) + `"}`, "k"}, {`{"label": "cat"}` + strings.Repeat(" ", maxJSON), "k"},
	} {
		stem := fmt.Sprintf("k/%02d", i)
		members = append(members, member{name: stem + ".json", text: c.object}, member{name: stem + ".x.png", text: picture(1)})
		want = append(want, fmt.Sprintf("%s.x.png [%s]", stem, c.label))
	}
	slices.Sort(want)
	raw(t, root, "s.tar", pack(t, members...))
	got := lines(index(t, filepath.Join(root, "s.tar")))
	for i := range got {
		if got[i] != "s.tar/"+want[i] {
			t.Errorf("%s, want %s", got[i], want[i])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d images of %d", len(got), len(want))
	}
}

// packedShards creates two tar files in a folder.
func packedShards(t testing.TB) string {
	t.Helper()
	root := t.TempDir()
	long := strings.Repeat("long/", 40) + "name.png"
	raw(t, root, "s-00.tar", pack(t, member{name: "./b/2.png", text: picture(2)}, member{name: "readme.txt", text: "x"},
		member{name: "b/2.cls", text: " cat\n"}, member{name: "a.x.png", text: picture(1)}, member{name: "dir/", kind: tar.TypeDir},
		member{name: "a.cls", text: "7"}, member{name: "._a.png", text: "hidden"}, member{name: "x/.y/a.png", text: "hidden"},
		member{name: "link.png", kind: tar.TypeSymlink}, member{name: "b/2.png", text: picture(3)}))
	raw(t, root, "s-01.tar", pack(t, member{name: "c/4.PNG", text: picture(4)}, member{name: long, text: picture(5)}, member{name: "/top.png", text: picture(6)}))
	return root
}

var packedLines = []string{"s-00.tar/a.x.png [7]", "s-00.tar/b/2.png [cat]", "s-01.tar/c/4.PNG [c]",
	"s-01.tar/" + strings.Repeat("long/", 40) + "name.png [long]", "s-01.tar/top.png []"}

func TestShards(t *testing.T) {
	root := packedShards(t)
	for _, name := range []string{root, filepath.Join(root, "s-{00..01}.tar"), filepath.Join(root, "{s}-0{1,0}.tar")} {
		s := open(t, name, NoIndex)
		if got := lines(s); !slices.Equal(got, packedLines) {
			t.Errorf("%s: %q, want %q", name, got, packedLines)
		}
		r := NewReader(s, ReaderConfig{})
		for i, n := range []int{1, 3, 4, 5, 6} { // of equal names in a shard the last wins
			data, err := s.ReadFile(i)
			if err != nil || string(data) != picture(n) {
				t.Errorf("%s: %d bytes, %v", s.Key(i), len(data), err)
			}
			m, err := r.Image(i)
			if e := s.Entry(i); err != nil || m.W != 10+n || e.W != m.W || e.H != m.H || e.Size != int64(len(data)) || e.Modified.IsZero() {
				t.Errorf("%s: %v, indexed as %+v", s.Key(i), err, e)
			}
		}
	}
	if got := lines(index(t, filepath.Join(root, "s-01.tar"))); !slices.Equal(got, packedLines[2:]) {
		t.Errorf("one shard: %q", got)
	}
	os.Rename(filepath.Join(root, "s-01.tar"), filepath.Join(root, "odd"))
	if got := index(t, filepath.Join(root, "odd")); got.Len() != 3 {
		t.Errorf("a tar file with another name: %q", lines(got))
	}
	write(t, root, "k/loose.png", 0)
	if got := lines(index(t, root)); !slices.Equal(got, []string{"k/loose.png [k]"}) {
		t.Errorf("pictures beside a tar file: %q", got)
	}
}

func TestShardsAreReadAgainWhenTheyChange(t *testing.T) {
	root, at := packedShards(t), filepath.Join(t.TempDir(), "index")
	settle(t, root)
	before := open(t, root, at)
	for row, change := range []func(){
		func() {},
		func() { raw(t, root, "s-00.tar", pack(t, member{name: "z/1.png", text: picture(7)})) },
		func() { os.Rename(filepath.Join(root, "s-01.tar"), filepath.Join(root, "s-02.tar")) },
		func() { os.Remove(filepath.Join(root, "s-02.tar")) },
	} {
		change()
		got, want := described(open(t, root, at)), described(open(t, root, NoIndex))
		if !slices.Equal(got, want) {
			t.Errorf("after change %d:\n%s\nwant\n%s", row, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		settle(t, root)
	}
	if _, err := before.ReadFile(0); err == nil || !strings.Contains(err.Error(), "shard s-00.tar has changed") {
		t.Errorf("reading from a shard that changed: %v", err)
	}
	if _, err := before.ReadFile(4); err == nil {
		t.Error("reading from a shard that is gone")
	}
}

func TestShardsRefuse(t *testing.T) {
	root := t.TempDir()
	good := pack(t, member{name: "1.png", text: picture(1)}, member{name: "2.png", text: strings.Repeat("x", 2000)})
	for name, data := range map[string][]byte{
		"packed.tar.gz": []byte("\x1f\x8b\x08rest"), "packed.tar": []byte("BZh9rest"), "cut.tar": good[:2500], "torn.tar": good[:1300],
		"label.tar": pack(t, member{name: "1.png", text: picture(1)}, member{name: "1.cls", text: strings.Repeat("x", 2000)}),
		"none.tar":  pack(t, member{name: "a.txt", text: "x"}),
		"flip.tar":  bytes.Replace(good, []byte("2.png"), []byte("3.png"), 1),
	} {
		raw(t, root, name, data)
	}
	os.Mkdir(filepath.Join(root, "twice"), 0o777)
	raw(t, root, "twice/cut.tar", good)
	for name, want := range map[string]string{
		"packed.tar.gz": "compressed with gzip: decompress it first", "packed.tar": "compressed with bzip2", "cut.tar": "is truncated", "torn.tar": "is truncated",
		"label.tar": "1.cls: a label of 2000 bytes", "none.tar": "no image in", "flip.tar": "after 1 images: ",
		"cut.tar/x": "not a directory", "{cut,gone}.tar": "gone.tar: no such file", "{2..1}.tar": "{2..1} is not a range", "{1..x}.tar": "is not a range",
		"{,twice/}cut.tar": "two shards in", "{0..1048576}.tar": "is not a range", "{0..1048575}{a,b}.tar": "more than 1048576 files", "{cut.tar": "does not exist",
	} {
		_, err := Index(filepath.Join(root, filepath.FromSlash(name)))
		refused(t, err, want)
	}
	// For a folder of shards the error names the faulty one.
	_, err := Index(root)
	refused(t, err, "shard "+root)
}

// TestSparseMembersAreRefused constructs the headers by hand.
func TestSparseMembersAreRefused(t *testing.T) {
	h := &tar.Header{Typeflag: tar.TypeReg, Size: 10, PAXRecords: map[string]string{"GNU.sparse.major": "1"}}
	refused(t, plain(h, 512, 1024), "sparse")
	refused(t, plain(&tar.Header{Typeflag: tar.TypeGNUSparse, Size: 10}, 512, 1024), "sparse")
	refused(t, plain(&tar.Header{Typeflag: tar.TypeReg, Size: 513}, 512, 1024), "truncated")
	if err := plain(&tar.Header{Typeflag: tar.TypeReg, Size: 512}, 512, 1024); err != nil {
		t.Error(err)
	}
}

func TestNothingIsWrittenIntoTheSource(t *testing.T) {
	root := packedShards(t)
	settle(t, root)
	open(t, root, filepath.Join(t.TempDir(), "index"))
	info, err := os.Stat(root)
	if err != nil || time.Since(info.ModTime()) < time.Minute {
		t.Error("the folder of the shards has changed")
	}
}
