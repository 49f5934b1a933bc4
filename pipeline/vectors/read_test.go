package vectors

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// kept writes the rows to a file, along with the files beside it.
func kept(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	about, err := json.Marshal(info)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{path: string(written(t, name)), path + ".json": string(about), path + ".paths": strings.Join(paths, "\n") + "\n"} {
		if err := os.WriteFile(name, []byte(data), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// readAll collects the rows of Read.
func readAll(path string) (got []Row, err error) {
	about, err := ReadInfo(path)
	if err != nil {
		return nil, err
	}
	err = Read(path, about, func(r Row) error {
		got = append(got, r)
		return nil
	})
	return got, err
}

func TestReadIsTheInverseOfWrite(t *testing.T) {
	for _, name := range []string{"x.npy", "x.jsonl", "x.parquet"} {
		got, err := readAll(kept(t, name))
		if err != nil || len(got) != len(rows) {
			t.Fatalf("%s: %d rows, %v", name, len(got), err)
		}
		for i, r := range got {
			if r.Path != paths[i] || !slices.Equal(r.Embedding, rows[i]) || r.Metadata != nil || r.Source != "" || r.Hash != "" {
				t.Errorf("%s: row %d: got %+v", name, i, r)
			}
		}
	}
}

// The extra fields of rows exported from an index are read too.
func TestReadLinesOfAnIndex(t *testing.T) {
	path := kept(t, "x.jsonl")
	line := `{"path":"a","embedding":[1,2,3],"source":"/photos/a.jpg","sha256":"00ff","metadata":{"n":1}}`
	if err := os.WriteFile(path, []byte(line+"\n"+line+"\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	got, err := readAll(path)
	if err != nil || len(got) != 2 || got[1].Source != "/photos/a.jpg" || got[1].Hash != "00ff" || string(got[1].Metadata) != `{"n":1}` {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestReadSaysWhatIsWrong(t *testing.T) {
	npy, jsonl := string(written(t, "x.npy")), string(written(t, "x.jsonl"))
	for i, c := range []struct{ name, suffix, data, want string }{
		{"x.npy", "", npy[:len(npy)-1], "ends in row 2 of 2"},
		{"x.npy", "", "PK", "not a .npy file"},
		{"x.npy", "", npy[:30], "it is truncated"},
		{"x.npy", "", strings.Replace(npy, "<f4", "<f8", 1), "want rows of float32"},
		{"x.npy", "", strings.Replace(npy, "(2, 3)", "(2, 9)", 1), "ends in row 1"},
		{"x.npy", "", strings.Replace(npy, "(2, 3)", "(3, 2)", 1), "row 1 has 2 numbers, and"},
		{"x.npy", ".paths", "a\n", "has 1 lines for 2 vectors"},
		{"x.npy", ".paths", "a\nb\nc\n", "has more lines than there are vectors, 2"},
		{"x.jsonl", "", jsonl[:len(jsonl)-3], "row 2: "},
		{"x.jsonl", "", strings.SplitAfter(jsonl, "\n")[0], "has 1 rows, and"},
		{"x.parquet", "", "PAR1", "x.parquet: "},
		{"x.jsonl", ".json", "{", "x.jsonl.json: unexpected end"},
		{"x.jsonl", ".json", "{}", "names no model"},
	} {
		path := kept(t, c.name)
		if err := os.WriteFile(path+c.suffix, []byte(c.data), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := readAll(path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("case %d: got %v, want %q", i, err, c.want)
		}
	}
	full := fmt.Errorf("full")
	if err := Read(kept(t, "x.parquet"), info, func(Row) error { return full }); err != full {
		t.Errorf("the taker's error became %v", err)
	}
}
