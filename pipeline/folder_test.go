package pipeline

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vicreg/pipeline/dataset"
)

// A run that died before its first checkpoint does not count as one, and leaves no trace in the
// next.
func TestFolderOfARunThatNeverBegan(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write(metricsFile, "")
	write("training_model.onnx", "graph")
	check := func(force bool) error {
		f := &trainFlags{out: dir, force: force}
		defer f.release()
		return errors.Join(f.claim(), f.checkFolder())
	}
	if err := check(false); err != nil {
		t.Error(err)
	}
	write(metricsFile, "{}\n")
	write(badFile, "a.png\tbroken\n")
	if err := check(false); err == nil {
		t.Error("the metrics of a run are given up without --force")
	}
	if err := errors.Join(check(true), clearFolder(dir)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{metricsFile, badFile} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is left", name)
		}
	}
}

// A resumed run replaces graphs and the list of bad images in one piece: until the new file is
// complete, as it never is on a full disk, the old one stays.
func TestResumeKeepsOldFilesUntilNewOnesAreComplete(t *testing.T) {
	data, out, old := writeImages(t, 16), t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "000.png"), []byte("no picture"), 0o666); err != nil {
		t.Fatal(err)
	}
	stepwise(t, data, out, 2)
	names := append(slices.Collect(maps.Keys(artifacts)), badFile)
	for _, name := range names { // a second name shows whether the file itself is written to
		if err := errors.Join(os.WriteFile(filepath.Join(out, name), []byte("old"), 0o666), os.Link(filepath.Join(out, name), filepath.Join(old, name))); err != nil {
			t.Fatal(err)
		}
	}
	if printed, err := train(t, t.Context(), "--out", out, "--resume"); err != nil {
		t.Fatal(printed, err)
	}
	for _, name := range names {
		if text := string(readFile(t, filepath.Join(old, name))); text != "old" {
			t.Errorf("%s was written in place", name)
		}
		if text := string(readFile(t, filepath.Join(out, name))); text == "old" || text == "" {
			t.Errorf("%s was not replaced", name)
		}
	}
}

func TestBadImagesAreALineEachAndListedWhenTooManyStopTheRun(t *testing.T) {
	data := writeImages(t, 4)
	for _, name := range []string{"line\nbreak.png", "tab\there.png", "a.png", "b.png", "c.png", "d.png"} {
		if err := os.WriteFile(filepath.Join(data, name), []byte("no picture"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	r := fakeRun(t, &fakeStepper{finite: func(int) bool { return true }}, 3)
	set, err := dataset.Index(data)
	if err != nil {
		t.Fatal(err)
	}
	r.reader = dataset.NewReader(set, dataset.ReaderConfig{})
	if err := r.loop(t.Context(), os.Stderr, os.Stderr); err == nil || !strings.Contains(err.Error(), "cannot be used") {
		t.Fatalf("got %v", err)
	}
	list, err := os.ReadFile(filepath.Join(r.out, badFile))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(list), "\n"); n != strings.Count(string(list), "\t") || n < 6 {
		t.Errorf("%d lines:\n%s", n, list)
	}
	if !strings.Contains(string(list), `"line\nbreak.png"`+"\t") || !strings.Contains(string(list), `"tab\there.png"`+"\t") {
		t.Errorf("listed:\n%s", list)
	}
}
