package pipeline

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"vicreg/pipeline/usage"
)

// prepared returns the error of the flags of vicreg train, before any image is looked for.
func prepared(t *testing.T, out string) error {
	t.Helper()
	f, flags := newTrainFlags(io.Discard)
	if err := usage.Parse(flags, []string{"--data", "nowhere", "--out", out}); err != nil {
		t.Fatal(err)
	}
	defer f.release()
	_, _, err := f.prepare(flags, io.Discard)
	return err
}

// A folder that cannot be made is refused before the images are read and the model is built.
func TestTheFolderOfARunIsCheckedFirst(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "file", nil)
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(os.Symlink(at("gone"), at("dangling")), os.Symlink(dir, at("link"))); err != nil {
		t.Fatal(err)
	}
	for out, want := range map[string]string{
		at("new"): "", at("new/and/deeper"): "", at("link"): "", at("link/new/"): "", dir: "",
		at("file"):         "--out " + at("file") + ": not a folder",
		at("file/new/run"): "--out " + at("file/new/run") + ": " + at("file") + " is not a folder",
		at("dangling/run"): "--out " + at("dangling/run") + ": no folder can be written in " + at("dangling") + ": ",
	} {
		err := prepared(t, out)
		var wrong *usage.Error
		if want == "" && err != nil || want != "" && (!errors.As(err, &wrong) || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", out, err, want)
		}
	}
	if made := names(t, dir); strings.Join(made, " ") != "dangling file link" {
		t.Errorf("left %q", made)
	}
	t.Chdir(dir)
	if err := prepared(t, "run"); err != nil {
		t.Errorf("relative to here: %v", err)
	}
}

func TestAFolderWithoutPermission(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "x"), 0o777); err == nil {
		t.Skip("this user may write everywhere")
	}
	if err := prepared(t, filepath.Join(dir, "run")); !errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.EROFS) {
		t.Errorf("got %v", err)
	}
}
