package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"vicreg/models/ort/orttest"
	"vicreg/pipeline/vectors"
)

// hostile contains a line break, a tab and a terminal's clear sequence.
const hostile = "two\nlines\tand \x1b[2J.png"

// tame checks that text is printable lines and contains want and hostile in its escaped form.
func tame(t *testing.T, what, text string, want ...string) {
	t.Helper()
	for _, r := range text {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Errorf("%s prints %q", what, text)
			break
		}
	}
	for _, w := range append(want, strconv.Quote(hostile)) {
		if !strings.Contains(text, w) {
			t.Errorf("%s does not print %s:\n%s", what, w, text)
		}
	}
}

// File names are escaped where they are printed, and exact in output for programs.
func TestHostileNamesArePrintedTamely(t *testing.T) {
	images, dir := drawKinds(t, 3, 1), t.TempDir()
	model := someModel(t, images)
	put(t, images, hostile, []byte("no picture"))
	put(t, images, "kind\x1b/"+hostile, readFile(t, filepath.Join(images, "red", "000.jpg")))

	list := filepath.Join(dir, "bad.txt")
	text, _ := data(t, "check", images, "--list", list)
	tame(t, "data check", text, `"kind\x1b" 1`, strconv.Quote("kind\x1b/"+hostile))
	listed := string(readFile(t, list))
	if n := strings.Count(listed, "\n"); n != 2 || !strings.HasPrefix(listed, "bad\t"+strconv.Quote(hostile)+"\t") {
		t.Errorf("listed in %d lines:\n%s", n, listed)
	}
	tame(t, "--list", strings.ReplaceAll(listed, "\t", " "))
	asJSON, _ := data(t, "check", images, "--json")
	var found inventory
	if err := json.Unmarshal([]byte(asJSON), &found); err != nil || len(found.Bad) != 1 || found.Bad[0].Key != hostile {
		t.Errorf("as JSON: %v, %v", found.Bad, err)
	}

	text, err := data(t, "preview", images, "-o", filepath.Join(dir, "p.png"), "--image-size", "16", "--images", "20")
	tame(t, fmt.Sprint("data preview ", err), text, "  "+strconv.Quote("kind\x1b/"+hostile)+", 30 x 24")

	library := []string{"--onnxruntime", orttest.Open(t).Path()}
	var out, errs bytes.Buffer
	err = Eval(t.Context(), append(library, "--model", model, "--data", images), &out, &errs)
	tame(t, fmt.Sprint("eval ", err), out.String()+errs.String(), "skipped "+strconv.Quote(hostile))

	out.Reset()
	errs.Reset()
	c := smallConfig(t, images, 16)
	c.Holdout = 0
	err = Export(t.Context(), append(library, madeRun(t, c, nil)), &bytes.Buffer{}, &errs)
	tame(t, fmt.Sprint("export ", err), errs.String(), "skipped "+strconv.Quote(hostile))

	vectorsFile := filepath.Join(dir, "v.jsonl")
	if _, err := embed(t, t.Context(), images, "--model", model, "-o", vectorsFile); err != nil {
		t.Fatal(err)
	}
	var info vectors.Info
	if err := json.Unmarshal(readFile(t, vectorsFile+".json"), &info); err != nil || len(info.Bad) != 1 || info.Bad[0].Path != hostile {
		t.Errorf("VECTORS.json: %v, %v", info.Bad, err)
	}
	if paths, _ := jsonRows(t, vectorsFile); !strings.Contains(strings.Join(paths, "|"), "kind\x1b/"+hostile) {
		t.Errorf("paths %q", paths)
	}
	alone := t.TempDir()
	put(t, alone, hostile, nil)
	_, err = embed(t, t.Context(), alone, "--model", model, "-o", vectorsFile, "--force")
	tame(t, "embed of nothing good", fmt.Sprint(err))
	if err := os.Remove(filepath.Join(alone, hostile)); err != nil {
		t.Fatal(err)
	}
	put(t, alone, "list", []byte("gone\x1b.png\n"))
	_, err = data(t, "check", filepath.Join(alone, "list"))
	if err == nil || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("of a list of nothing: %v", err)
	}
}
