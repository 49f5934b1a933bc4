package pipeline

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"vicreg/models/ort/orttest"
)

// Files skipped because of their names are reported by the commands that walk a folder.
func TestOtherFilesAreToldOf(t *testing.T) {
	dir := drawKinds(t, 2, 1)
	model := someModel(t, dir)
	const want = "2 files without an image extension (.bmp 1, none 1)\n"
	if out, err := data(t, "check", dir); err != nil || strings.Contains(out, "skipped") {
		t.Errorf("%v\n%s", err, out)
	}
	put(t, dir, "red/a.bmp", []byte("BM"))
	put(t, dir, "blue/b", nil)
	if out, err := data(t, "check", dir); err != nil || !strings.Contains(out, "skipped       "+want) {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := data(t, "check", dir, "--json"); err != nil || !strings.Contains(out, `"skipped": {
    ".bmp": 1,
    "none": 1
  }`) {
		t.Errorf("%v\n%s", err, out)
	}
	var said bytes.Buffer
	args := []string{dir, "--model", model, "-o", filepath.Join(t.TempDir(), "v.npy"), "--onnxruntime", orttest.Open(t).Path()}
	if err := Embed(t.Context(), args, &said, &said); err != nil || !strings.Contains(said.String(), "skipped "+want) {
		t.Errorf("%v\n%s", err, &said)
	}
	run := []string{"--data", dir, "--out", t.TempDir(), "--batch", "4", "--time-limit", "1ns"}
	if out, err := train(t, t.Context(), run...); err != nil || strings.Count(out, "vicreg train: skipped "+want) != 1 {
		t.Errorf("%v\n%s", err, out)
	}
}
