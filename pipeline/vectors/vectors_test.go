package vectors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/parquet-go/parquet-go"
)

var (
	info  = Info{Model: "m.onnx", Fingerprint: "f00d", Dim: 3, Images: "cafe", Count: 2}
	paths = []string{"a/1.jpg", `b "2".png`}
	rows  = [][]float32{{1, -2.5, 3e-8}, {0, 7, -0.1}}
)

// written returns the rows encoded in the format of the name.
func written(t *testing.T, name string) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := Create(&b, name, info)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range rows {
		if err := w.Write(paths[i], v); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestNumPy(t *testing.T) {
	b := written(t, "x.NPY")
	if len(b) != 128+24 || !bytes.HasPrefix(b, []byte("\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }")) || b[127] != '\n' {
		t.Fatalf("header %q", b[:min(len(b), 128)])
	}
	for i, want := range rows {
		got := make([]float32, 3)
		decode(got, b[128+12*i:])
		if !slices.Equal(got, want) {
			t.Errorf("row %d: got %v, want %v", i, got, want)
		}
	}
}

func TestJSONLines(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(string(written(t, "x.jsonl"))), "\n")
	for i, line := range lines {
		var r row
		if err := json.Unmarshal([]byte(line), &r); err != nil || r.Path != paths[i] || !slices.Equal(r.Embedding, rows[i]) {
			t.Errorf("line %d: got %+v, %v", i, r, err)
		}
	}
	if len(lines) != 2 {
		t.Errorf("%d lines, want 2", len(lines))
	}
}

func TestParquet(t *testing.T) {
	b := written(t, "x.parquet")
	file, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := file.Lookup("vicreg.fingerprint"); v != "f00d" {
		t.Errorf("fingerprint %q", v)
	}
	got, err := parquet.Read[row](bytes.NewReader(b), int64(len(b)))
	if err != nil || len(got) != 2 {
		t.Fatalf("%d rows, %v", len(got), err)
	}
	for i, r := range got {
		if r.Path != paths[i] || !slices.Equal(r.Embedding, rows[i]) {
			t.Errorf("row %d: got %+v", i, r)
		}
	}
}

func TestUnknownFormat(t *testing.T) {
	if _, err := Create(nil, "x.csv", info); err == nil || !strings.Contains(err.Error(), "ends in .npy, .jsonl, .parquet") {
		t.Errorf("got %v", err)
	}
	if Known("x.csv") || !Known("X.Parquet") {
		t.Error("Known is wrong")
	}
}

// records formats the records of a journal.
func records(t *testing.T, j *Journal) (out []string) {
	t.Helper()
	err := j.All(func(i int, v []float32, bad string) error {
		out = append(out, fmt.Sprintf("%d %v %s", i, v, bad))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func open(t *testing.T, path string, info Info) *Journal {
	t.Helper()
	j, err := OpenJournal(path, info)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// fill writes three records, one of them bad.
func fill(t *testing.T, path string) (want []string) {
	t.Helper()
	j := open(t, path, info)
	if err := errors.Join(j.Add(rows[0]), j.AddBad("torn"), j.Add(rows[1])); err != nil {
		t.Fatal(err)
	}
	want = records(t, j)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(want, []string{"0 [1 -2.5 3e-08] ", "1 [] torn", "2 [0 7 -0.1] "}) {
		t.Fatalf("got %q", want)
	}
	return want
}

// Wherever a journal is truncated, and whichever bit is flipped, the records before the damage are
// recovered; resuming completes it.
func TestJournalOutlivesDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	want := fill(t, path)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := [][]byte{}
	for i := range whole {
		flipped := slices.Clone(whole)
		flipped[i] ^= 1
		damaged = append(damaged, whole[:i], flipped)
	}
	for k, b := range damaged {
		if err := os.WriteFile(path, b, 0o666); err != nil {
			t.Fatal(err)
		}
		if k%2 == 1 && k/2 < len(magic) { // it could be anyone's file
			if _, err := OpenJournal(path, info); !errors.Is(err, ErrForeign) {
				t.Fatalf("damage %d: %v", k, err)
			}
			continue
		}
		j := open(t, path, info)
		if got := records(t, j); !slices.Equal(got, want[:j.Len()]) {
			t.Fatalf("damage %d: got %q", k, got)
		}
		for i := j.Len(); i < 3; i++ {
			if err := j.AddBad("torn"); err != nil {
				t.Fatal(err)
			}
		}
		if got := records(t, j); len(got) != 3 || got[2] != "2 [] torn" && got[2] != want[2] {
			t.Fatalf("damage %d, gone on: got %q", k, got)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A journal that cannot be read to its end is not one that ends there: wherever a read fails, the
// error is returned, not the offset to truncate the file to.
func TestJournalThatCannotBeRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	fill(t, path)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	kept := Info{Fingerprint: info.Fingerprint, Dim: info.Dim, Images: info.Images} // what a header holds
	for i := range len(whole) + 1 {
		j := &Journal{info: kept}
		failing := io.MultiReader(bytes.NewReader(whole[:i]), iotest.ErrReader(syscall.EIO))
		if _, err := j.recover(failing); !errors.Is(err, syscall.EIO) {
			t.Errorf("after %d of %d bytes: got %v", i, len(whole), err)
		}
	}
}

// A journal can be appended to after it was read.
func TestJournalGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	want := fill(t, path)
	j := open(t, path, info)
	defer j.Close()
	records(t, j)
	if err := j.AddBad("late"); err != nil {
		t.Fatal(err)
	}
	if got := records(t, j); !slices.Equal(got, append(want, "3 [] late")) {
		t.Errorf("got %q", got)
	}
}

func TestJournalHasOneOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j := open(t, path, info)
	if _, err := OpenJournal(path, info); !errors.Is(err, ErrInUse) {
		t.Errorf("got %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := open(t, path, info).Close(); err != nil {
		t.Error(err)
	}
}

func TestJournalOfOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	fill(t, path)
	for _, change := range []func(*Info){
		func(i *Info) { i.Fingerprint = "beef" },
		func(i *Info) { i.Images = "other" },
		func(i *Info) { i.Normalized = true },
	} {
		other := info
		change(&other)
		if _, err := OpenJournal(path, other); !errors.Is(err, ErrOther) {
			t.Errorf("%+v: got %v", other, err)
		}
	}
}
