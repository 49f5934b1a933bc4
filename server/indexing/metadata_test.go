package indexing

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vicreg/pipeline/usage"
	"vicreg/server/index"
)

// rowsOf reads a metadata file of that name and content.
func rowsOf(t *testing.T, name, content, key string) (rows, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
	return readRows(file, key, "/photos")
}

func TestReadCSV(t *testing.T) {
	got, err := rowsOf(t, "m.csv", "\ufeffpath,year,code,seen,mixed,note,big\r\n"+
		"a.jpg,2020,0042,true,1,\"one, \"\"two\"\"\",12345678901234567890\r\n"+
		"./b/../c.jpg,-1.5e3,1,false,x,,1\n"+
		"/photos/d/e.jpg,,7,,,\"line\nbreak\",0\n", "")
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{
		"a.jpg":   `{"year":2020,"code":"0042","seen":true,"mixed":"1","note":"one, \"two\"","big":12345678901234567890}`,
		"c.jpg":   `{"year":-1.5e3,"code":"1","seen":false,"mixed":"x","big":1}`,
		"d/e.jpg": `{"code":"7","note":"line\nbreak","big":0}`,
	} {
		if string(got[id]) != want {
			t.Errorf("%s: got %s, want %s", id, got[id], want)
		}
	}
	if len(got) != 3 {
		t.Errorf("%d rows", len(got))
	}
	if got, err := rowsOf(t, "m.csv", "label,file\nx,a\n", "file"); err != nil || string(got["a"]) != `{"label":"x"}` {
		t.Errorf("--key: got %s, %v", got["a"], err)
	}
}

func TestReadObjects(t *testing.T) {
	got, err := rowsOf(t, "m.jsonl", "\ufeff"+`{"id":"a","n":1,"deep":{"list":[1,"x"]}}`+"\n\n"+`{"path":"b"}`, "")
	if err != nil || len(got) != 2 || !same(got["a"], []byte(`{"deep":{"list":[1,"x"]}, "n":1}`)) || string(got["b"]) != `{}` {
		t.Errorf("got %s, %v", got, err)
	}
	if got, err := rowsOf(t, "m.jsonl", `{"id":"a","file":"b"}`, "file"); err != nil || string(got["b"]) != `{"id":"a"}` {
		t.Errorf("--key: got %s, %v", got, err)
	}
}

func TestReadRowsSaysWhatIsWrong(t *testing.T) {
	long := strings.Repeat("x", index.MaxMetadata)
	for i, c := range []struct{ name, content, key, want string }{
		{"m.txt", "", "", "ends in .csv or .jsonl"},
		{"m.csv", "", "", "it is empty"},
		{"m.csv", "label,path\n", "", `its first column is named "label", not id or path; give the id column with --key COLUMN`},
		{"m.csv", "id,n\n", "file", `it has no column "file"`},
		{"m.csv", "id,n,n\n", "", `column 3 has an empty or repeated name, "n"`},
		{"m.csv", "id,\n", "", `column 2 has an empty or repeated name, ""`},
		{"m.csv", "id,n\na,1\nb\n", "", "line 3: wrong number of fields"},
		{"m.csv", "id,n\na,1\n\n./a,2\n", "", "line 4: a occurs a second time"},
		{"m.csv", "id,n\n,1\n", "", "line 2: the id is empty"},
		{"m.csv", "id,n\na," + long + "\n", "", "over the limit of 16384"},
		{"m.csv", "id,n\na,\"x\ny\"\nb,caf\xe9\n", "", "line 4: it is not UTF-8; save the file as UTF-8"},
		{"m.csv", "id,n\na,b,\xe9\n", "", "line 2: "},
		{"m.csv", "\xff\xfei\x00d\x00\n\x00", "", "line 1: it is not UTF-8"},
		{"m.csv", "id,n\na,1\nb,1e999\n", "", "line 3: metadata: n: "},
		{"m.jsonl", `{"id":"a"}` + "\n" + `{"id":"b","n":1e999}`, "", "line 2: metadata: n: "},
		{"m.jsonl", `{"id":"a"}` + "\n" + `{"id":"b","n":"caf` + "\xe9" + `"}`, "", "line 2: it is not UTF-8"},
		{"m.jsonl", `{"id":"a","n":1,"n":2}`, "", `line 1: "n" occurs twice`},
		{"m.jsonl", `{"id":"a","id":"b"}`, "", `line 1: "id" occurs twice`},
		{"m.jsonl", `{"id":"a","x":{"n":1,"n":2}}`, "", "line 1: metadata: "},
		{"m.jsonl", `{"id":"a"}` + "\n[1]", "", "line 2: json: "},
		{"m.jsonl", "null", "", "line 1: null is not an object"},
		{"m.jsonl", `{"id":7}`, "", `line 1: "id" is not a string`},
		{"m.jsonl", `{"n":7}`, "", `line 1: it has neither "id" nor "path"`},
		{"m.jsonl", `{"id":"a"}`, "file", `line 1: it has no "file"`},
		{"m.jsonl", `{"id":"a","n":"` + long + long + long + long + `"}`, "", "line 1: it is longer than 65536 bytes"},
	} {
		_, err := rowsOf(t, c.name, c.content, c.key)
		var wrong *usage.Error
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("case %d: got %v, want %q", i, err, c.want)
		}
	}
	if _, err := readRows(filepath.Join(t.TempDir(), "none.csv"), "", ""); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestSame(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"", "{}", true}, {"{}", `{"a":1}`, false}, {`{"a":1, "b":2}`, `{"b":2,"a":1}`, true},
		{`{"a":12345678901234567890}`, `{"a":12345678901234567891}`, false}, {`{"a":"1"}`, `{"a":1}`, false},
	} {
		if got := same([]byte(c.a), []byte(c.b)); got != c.want {
			t.Errorf("%s and %s: %v", c.a, c.b, got)
		}
	}
}
