package pipeline

import (
	"errors"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vicreg/pipeline/usage"
)

// contents maps the files below a folder, including symlinks, to their contents or targets.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type()&fs.ModeSymlink != 0 {
			files[path], err = os.Readlink(path)
		} else if err == nil && !d.IsDir() {
			files[path] = string(readFile(t, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// refusal checks that a command is rejected as a user error with a one-line message that contains
// want, and leaves all files in the folders unchanged.
func refusal(t *testing.T, want string, folders []string, run func() error) {
	t.Helper()
	var before, after []map[string]string
	for _, dir := range folders {
		before = append(before, contents(t, dir))
	}
	err := run()
	var wrong *usage.Error
	if !errors.As(err, &wrong) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, want one line with %q", err, want)
	}
	for _, dir := range folders {
		after = append(after, contents(t, dir))
	}
	for i := range before {
		if !maps.Equal(before[i], after[i]) {
			t.Errorf("after %v, %s holds %q instead of %q", err, folders[i],
				slices.Sorted(maps.Keys(after[i])), slices.Sorted(maps.Keys(before[i])))
		}
	}
}

// data check and data preview replace files only with --force, and never their inputs.
func TestLookingAtImagesSparesFiles(t *testing.T) {
	images, dir := writeImages(t, 3), t.TempDir()
	photo := filepath.Join(images, "000.png")
	put(t, dir, "notes.png", []byte("mine"))
	put(t, dir, "list.png", []byte(photo+"\n"))
	put(t, dir, "list.txt", []byte(photo+"\n"))
	at := func(name string) string { return filepath.Join(dir, name) }
	for link, target := range map[string]string{"link.png": photo, "list-link.png": "list.png", "folder.png": images} {
		if err := os.Symlink(target, at(link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(photo, at("hard.png")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		data, out, want string
		force           bool
	}{
		{images, at("notes.png"), "notes.png exists; --force overwrites it", false},
		{images, photo, "000.png exists; --force", false},
		{images, photo, "is a file of the data set", true},
		{images, at("link.png"), "is a file of the data set", true},
		{images, at("hard.png"), "is a file of the data set", true},
		{at("list.txt"), photo, "is a file of the data set", true},
		{at("list.png"), at("list.png"), "which must be kept", true},
		{at("list.png"), at("list-link.png"), "which must be kept", true},
		{at("list-link.png"), at("list.png"), "which must be kept", true},
		{images, at("folder.png"), "is a folder", true},
		{images, at("none/x.png"), "none is not a folder", true},
	} {
		for _, args := range [][]string{{"check", c.data, "--list", c.out}, {"preview", c.data, "-o", c.out}} {
			if c.force {
				args = append(args, "--force")
			}
			refusal(t, c.want, []string{images, dir}, func() error { _, err := data(t, args...); return err })
		}
	}
	socket, err := net.Listen("unix", at("socket.png"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	if _, err := data(t, "check", images, "--list", at("socket.png"), "--force"); err == nil || !strings.Contains(err.Error(), "exists but is not a regular file") {
		t.Errorf("of a socket: %v", err)
	}
	if _, err := data(t, "check", images, "--list", "/dev/null"); err != nil {
		t.Error(err)
	}
	for _, args := range [][]string{{"check", images, "--list"}, {"preview", images, "-o"}} {
		if _, err := data(t, append(args, at("notes.png"), "--force")...); err != nil || string(readFile(t, at("notes.png"))) == "mine" {
			t.Errorf("%s --force: %v", args[0], err)
		}
		put(t, dir, "notes.png", []byte("mine"))
	}
}

// An output file replaces the older one and is never written in place.
func TestLookingAtImagesWritesInOnePiece(t *testing.T) {
	images, dir := writeImages(t, 2), t.TempDir()
	for _, args := range [][]string{{"check", images, "--list"}, {"preview", images, "-o"}} {
		path := filepath.Join(dir, "x.png")
		put(t, dir, "x.png", []byte("old"))
		before, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := data(t, append(args, path, "--force")...); err != nil {
			t.Fatal(err)
		}
		after, err := os.Stat(path)
		if err != nil || os.SameFile(before, after) {
			t.Errorf("%s wrote into the old file: %v", args[0], err)
		}
		if left := names(t, dir); len(left) != 1 {
			t.Errorf("%s left %q", args[0], left)
		}
	}
}
