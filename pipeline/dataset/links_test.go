package dataset

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// links creates symbolic links below a folder, by name.
func links(t *testing.T, root string, targets map[string]string) {
	t.Helper()
	for name, target := range targets {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, path); err != nil {
			t.Skip("this system makes no links:", err)
		}
	}
}

// elsewhere returns a folder of images as a target for links.
func elsewhere(t *testing.T) string {
	t.Helper()
	dir := resolved(t, t.TempDir())
	for i, key := range []string{"cats/1.png", "cats/deep/2.png", "dogs/3.png", "4.png"} {
		write(t, dir, key, i)
	}
	return dir
}

func TestIndexFollowsLinks(t *testing.T) {
	out, root := elsewhere(t), t.TempDir()
	write(t, root, "own/5.png", 5)
	links(t, root, map[string]string{
		"all": out, "felis": filepath.Join(out, "cats"), "named.jpg": filepath.Join(out, "dogs"), "own/more": filepath.Join(out, "dogs"),
		"one.png": filepath.Join(out, "4.png"), "chain": "felis", ".hidden": out, "readme": filepath.Join(root, "own/5.png"),
	})
	want := []string{"all/4.png [all]", "all/cats/1.png [all]", "all/cats/deep/2.png [all]", "all/dogs/3.png [all]",
		"chain/1.png [chain]", "chain/deep/2.png [chain]", "felis/1.png [felis]", "felis/deep/2.png [felis]",
		"named.jpg/3.png [named.jpg]", "one.png []", "own/5.png [own]", "own/more/3.png [own]"}
	set := index(t, root)
	if got := lines(set); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	r := NewReader(set, ReaderConfig{})
	for i := range set.Len() {
		if _, err := r.Image(i); err != nil {
			t.Error(err)
		}
	}
	links(t, root, map[string]string{"../" + filepath.Base(root) + "-link": root})
	t.Cleanup(func() { os.Remove(root + "-link") })
	if got := lines(index(t, root+"-link")); !slices.Equal(got, want) {
		t.Errorf("through a link to the root: %q", got)
	}
}

func TestLinksInACircleAreNamed(t *testing.T) {
	for name, c := range map[string]struct{ link, target, want string }{
		"to its folder":        {"a/loop", ".", "symbolic link a/loop forms a loop back to the folder a, which contains it: remove it"},
		"to the root":          {"a/b/loop", "../..", "link a/b/loop forms a loop back to the folder itself: remove it"},
		"to one on the way":    {"a/b/c/loop", "../../../a", "link a/b/c/loop forms a loop back to the folder a, which"},
		"from outside":         {"a/up", "OUTSIDE/.", "link a/up forms a loop back to the folder itself"},
		"through another link": {"a/one", "../other", "link other/two forms a loop"},
		"a line break":         {"a/lo\nop", "..", `link "a/lo\nop" forms a loop`},
	} {
		outside := resolved(t, t.TempDir())
		root := filepath.Join(outside, "data")
		write(t, root, "a/b/1.png", 1)
		links(t, root, map[string]string{c.link: strings.Replace(c.target, "OUTSIDE", outside, 1)})
		if name == "through another link" {
			links(t, root, map[string]string{"other/two": "../a"})
			c.want = "forms a loop back to the folder "
		}
		_, err := Index(root)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want one line with %q", name, err, c.want)
		}
		if found, err := anyPicture(filepath.Join(root, "a"), nil); err != nil || !found {
			t.Errorf("%s: is there a picture: %v, %v", name, found, err)
		}
	}
}

// Dangling links are bad images if they may stand for images.
func TestLostLinksAreBad(t *testing.T) {
	root := t.TempDir()
	write(t, root, "a/1.png", 1)
	links(t, root, map[string]string{"gone.jpg": "nowhere", "train": "/nowhere/train", "a/kind": "../none", "round": "round",
		"notes.txt": "nowhere", ".hidden": "nowhere"})
	set := index(t, root)
	if got, want := keys(set), []string{"a/1.png", "a/kind", "gone.jpg", "round", "train"}; !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	r := NewReader(set, ReaderConfig{MaxBad: 1})
	for i := range set.Len() {
		if _, err := r.Image(i); (err == nil) != (i == 0) {
			t.Errorf("%s: %v", set.Key(i), err)
		}
	}
	for _, b := range r.Quarantined() {
		if !strings.Contains(b.Reason, "no such file") && b.Key != "round" || b.Key == "round" && !strings.Contains(b.Reason, "too many levels") {
			t.Errorf("%s: %s", b.Key, b.Reason)
		}
	}
	alone := t.TempDir()
	links(t, alone, map[string]string{"train": "/nowhere/train"})
	_, err := NewReader(index(t, alone), ReaderConfig{}).Substitute(0)
	refused(t, err, "/train: no such file")
}

// past backdates a folder only, following no link in it.
func past(t *testing.T, dir string) {
	t.Helper()
	then := time.Unix(1_600_000_000, 0)
	if err := os.Chtimes(dir, then, then); err != nil {
		t.Fatal(err)
	}
}

// An index notices changes to the targets of its links.
func TestLinkedFoldersAreReadAgainWhenTheyChange(t *testing.T) {
	out, root, at := elsewhere(t), t.TempDir(), filepath.Join(t.TempDir(), "index")
	write(t, root, "own/5.png", 5)
	links(t, root, map[string]string{"train": filepath.Join(out, "cats"), "v1.0": filepath.Join(out, "dogs")})
	settle(t, out)
	past(t, root)
	past(t, filepath.Join(root, "own"))
	away := out + "-away"
	t.Cleanup(func() { os.RemoveAll(away) })
	first := described(open(t, root, at))
	written, err := os.Stat(at)
	if err != nil {
		t.Fatal(err)
	}
	for row, c := range []struct {
		change func()
		want   int
	}{
		{func() {}, 4},
		{func() { write(t, out, "cats/new.png", 9) }, 5},
		{func() { write(t, out, "cats/deep/er/new.png", 9) }, 6},
		{func() { os.Rename(out, away) }, 2},             // including the dangling link
		{func() {}, 2},                                   // unchanged
		{func() { os.Rename(away, out) }, 6},             // valid again
		{func() { os.Remove(out + "/cats/new.png") }, 5}, // and its changes are noticed again
		{func() { // a different target
			os.Remove(filepath.Join(root, "train"))
			links(t, root, map[string]string{"train": out})
		}, 1 + 5 + 1},
	} {
		c.change()
		got, want := described(open(t, root, at)), described(open(t, root, NoIndex))
		if !slices.Equal(got, want) || len(got) != c.want {
			t.Errorf("after change %d:\n%s\nwant %d:\n%s", row, strings.Join(got, "\n"), c.want, strings.Join(want, "\n"))
		}
		if again, err := os.Stat(at); row == 0 && (err != nil || !os.SameFile(again, written) || !slices.Equal(got, first)) {
			t.Error("an index that holds was written again")
		}
		if _, err := os.Stat(out); err == nil {
			settle(t, out)
		}
		past(t, root)
		past(t, filepath.Join(root, "own"))
	}
}

// A folder of shards counts as a folder of images once a link leads to images.
func TestShardsBesideLinks(t *testing.T) {
	tars, root, out := packedShards(t), t.TempDir(), elsewhere(t)
	links(t, root, map[string]string{"s-00.tar": filepath.Join(tars, "s-00.tar"), "s-01.tar": filepath.Join(tars, "s-01.tar")})
	if got := lines(index(t, root)); !slices.Equal(got, packedLines) {
		t.Errorf("linked shards: %q", got)
	}
	links(t, root, map[string]string{"more/cats": filepath.Join(out, "cats")})
	if got, want := keys(index(t, root)), []string{"more/cats/1.png", "more/cats/deep/2.png"}; !slices.Equal(got, want) {
		t.Errorf("pictures behind a link beside shards: %q", got)
	}
}
