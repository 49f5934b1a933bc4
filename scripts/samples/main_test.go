package main

import (
	"crypto/sha256"
	"fmt"
	"image"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// digest hashes the names and bytes of all files in a folder and counts the files.
func digest(t *testing.T, dir string) (sum string, files int) {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		fmt.Fprintln(h, path[len(dir):], len(data))
		h.Write(data)
		files++
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil)), files
}

func samples(t *testing.T, args ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "set")
	if err := run(append([]string{"-out", dir}, args...), io.Discard); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestEqualArgumentsGiveEqualBytes(t *testing.T) {
	a, n := digest(t, samples(t, "-n", "60", "-size", "24", "-seed", "7"))
	b, _ := digest(t, samples(t, "-n", "60", "-size", "24", "-seed", "7"))
	c, _ := digest(t, samples(t, "-n", "60", "-size", "24", "-seed", "8"))
	if n != 60 || a != b {
		t.Errorf("two sets of %d pictures differ: %s and %s", n, a, b)
	}
	if a == c {
		t.Error("another seed gives the same set")
	}
}

func TestEveryKindHasReadablePictures(t *testing.T) {
	dir := samples(t, "-n", "40", "-size", "16")
	for _, k := range kinds {
		files, err := filepath.Glob(filepath.Join(dir, k.name, "*"))
		if err != nil || len(files) != 4 {
			t.Errorf("%s: %d pictures, %v", k.name, len(files), err)
		}
		for _, name := range files {
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			m, _, err := image.Decode(f)
			f.Close()
			if err != nil || m.Bounds().Dx() != 16 || m.Bounds().Dy() != 16 {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestFiguresShow checks that for every kind neither figure nor ground is rare.
func TestFiguresShow(t *testing.T) {
	for _, k := range kinds {
		inside := 0
		for i := range 10000 {
			x, y := float64(i%100)/50-1, float64(i/100)/50-1
			if k.inside(x, y, [3]float64{0.5, 0.5, 0.5}) {
				inside++
			}
		}
		if inside < 1200 || inside > 7500 {
			t.Errorf("%s: the figure covers %d of 10000 points", k.name, inside)
		}
	}
}

func TestWrongUse(t *testing.T) {
	for _, args := range []string{"", "-out x extra", "-out x -n 0", "-out x -size 4"} {
		if err := run(strings.Fields(args), io.Discard); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
