package indexing

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vicreg/server/index"
)

func TestSearch(t *testing.T) {
	dir, model, file := t.TempDir(), colour(t, 1), filepath.Join(t.TempDir(), "x.index")
	for name, data := range map[string][]byte{"warm/red.png": filled(t, 255, 0, 0), "warm/orange.png": filled(t, 255, 90, 0), "cold/blue.png": filled(t, 0, 0, 255)} {
		put(t, filepath.Join(dir, name), data)
	}
	said(t, "add", dir, "--index", file, "--model", model)
	asked := filepath.Join(t.TempDir(), "red.tiff.png")
	put(t, asked, filled(t, 200, 10, 0))

	owner, err := index.Open(t.Context(), file, index.Options{}) // owns the index as a server would
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close()
	lines := strings.Split(said(t, "search", file, "--model", model, "--image", asked), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[0], "   1   0.99") || !strings.HasSuffix(lines[0], "  warm/red.png") || !strings.HasSuffix(lines[2], "  cold/blue.png") {
		t.Errorf("got\n%s", strings.Join(lines, "\n"))
	}
	lines = strings.Split(said(t, "search", file, "--id", "warm/red.png", "-k", "1"), "\n")
	if len(lines) != 2 || !strings.HasSuffix(lines[0], "  warm/orange.png") {
		t.Errorf("by id: %q", lines)
	}
	want(t, said(t, "search", file, "--id", "warm/red.png", "--filter", `{"label":"cold"}`), "   1   0.0000")
	want(t, said(t, "search", file, "--id", "warm/red.png", "--filter", `{"label":"cold"}`, "--threshold", "0.5"), "nothing in namespace default is like it\n")
	for _, none := range []string{`{"label":"kold"}`, `{"label":{"$gt":5}}`} {
		if text := said(t, "search", file, "--id", "warm/red.png", "--filter", none); text != "no item of namespace default matches the filter\n" {
			t.Errorf("%s: %q", none, text)
		}
	}
	// The item itself matches, and is left out.
	want(t, said(t, "search", file, "--id", "cold/blue.png", "--filter", `{"label":"cold"}`), "nothing in namespace default is like it\n")

	var answer struct {
		Model, Similarity string
		Results           []struct {
			ID, Source string
			Score      float64
			Percentile *float64
			Metadata   map[string]string
		}
	}
	if err := json.Unmarshal([]byte(said(t, "search", file, "--id", "warm/red.png", "--json")), &answer); err != nil {
		t.Fatal(err)
	}
	if r := answer.Results; len(r) != 2 || r[0].Metadata["label"] != "warm" || r[0].Source == "" || r[0].Score < 0.9 || answer.Similarity != "cosine" || answer.Model == "" {
		t.Errorf("got %+v", answer)
	}

	for words, args := range map[string][]string{
		"FILE is missing":                             {"--id", "a"},
		"want either --image":                         {file},
		"want either --image FIL":                     {file, "--image", asked, "--id", "a"},
		"--model FILE is missing":                     {file, "--image", asked},
		"-k 0: want 1 to 1000":                        {file, "--id", "a", "-k", "0"},
		"--filter: ":                                  {file, "--id", "a", "--filter", `{"label":`},
		"--threshold NaN: want a number from -1 to 1": {file, "--id", "a", "--threshold", "NaN"},
		"--threshold 2: want a number from -1 to 1":   {file, "--id", "a", "--threshold", "2"},
		"no such item":                                {file, "--id", "none"},
		"vicreg index rebuild " + file:                {file, "--id", "warm/red.png", "--model", colour(t, 2)},
		"--image: open none.png":                      {file, "--model", model, "--image", "none.png"},
		"--image " + file + ": ":                      {file, "--model", model, "--image", file},
	} {
		wrong(t, words, append([]string{"search"}, args...)...)
	}
	wrong(t, "namespace other is empty; available: default", "search", file, "--id", "warm/red.png", "--namespace", "other")
	if _, _, err := run(t.Context(), "search", filepath.Join(dir, "none"), "--id", "a"); !os.IsNotExist(err) && !strings.Contains(err.Error(), "not exist") {
		t.Errorf("no index: %v", err)
	}
}

// Every command that reads a namespace rejects an empty one and suggests the one that was meant;
// the default namespace of an empty index is accepted.
func TestUnknownNamespace(t *testing.T) {
	model, file := colour(t, 255), filepath.Join(t.TempDir(), "photos.index")
	dir := colours(t, 2)
	said(t, "add", dir, "--index", file, "--model", model, "--namespace", "holidays")
	asked := filepath.Join(dir, "00.png")
	for _, args := range [][]string{
		{"duplicates", file}, {"search", file, "--id", "00.png"}, {"search", file, "--image", asked, "--model", model},
		{"export", file, "-o", filepath.Join(t.TempDir(), "x.npy")},
	} {
		wrong(t, "namespace holidas is empty; did you mean holidays?", append(args, "--namespace", "holidas")...)
		wrong(t, "namespace default is empty; available: holidays", args...)
	}
	want(t, said(t, "search", file, "--id", "00.png", "--namespace", "holidays", "--filter", `{"year": 1}`), "no item of namespace holidays has the field year")
	want(t, said(t, "search", file, "--id", "00.png", "--namespace", "holidays", "--filter", `{"year": 1}`, "--json"), `"note": "no item`)
	empty := filepath.Join(t.TempDir(), "empty.index")
	f, err := index.Open(t.Context(), empty, index.Options{Binding: index.Bind("f", 3, nil), Create: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	want(t, said(t, "duplicates", empty), "0 groups, 0 images in all,")
	wrong(t, "namespace x is empty", "duplicates", empty, "--namespace", "x")
}
