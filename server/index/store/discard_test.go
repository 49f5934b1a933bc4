package store

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
)

// replaced overwrites the only occurrence of a text in a file.
func replaced(t *testing.T, path, old, by string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(text, []byte(old)); n != 1 {
		t.Fatalf("%q is %d times in the file", old, n)
	}
	copy(text[bytes.Index(text, []byte(old)):], by)
	if err := os.WriteFile(path, text, 0o666); err != nil {
		t.Fatal(err)
	}
}

// spoilt makes an index of n rows, and damages some of them: the vector of row 1, the id of row 2
// so that it is another's, the id of row 3 so that it is nobody's, and the header of row 4 so that
// SQLite cannot read it.
func spoilt(t *testing.T, n int) (path string, rows []Row) {
	t.Helper()
	s := made(t, testAbout)
	rows = rowsIn(apply(t, s, puts(rowsOf(0, n, testDim)...)...))
	path = s.path
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	own := codec{}
	own.encode(&rows[1], 0)
	replaced(t, path, string(own.vector), "\xff\xff")
	replaced(t, path, "defaultid-2p", "defaultid-0p")
	replaced(t, path, "defaultid-3p", "defaultid-%p")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(text, []byte("defaultid-4p"))
	text[at-4] = 0x7f // the hash is longer than the row
	if err := os.WriteFile(path, text, 0o666); err != nil {
		t.Fatal(err)
	}
	return path, rows
}

func namesOf(bad []Damage) (names []string) {
	for _, d := range bad {
		names = append(names, d.ID)
	}
	return names
}

// All damaged rows are found and named, and all others are read.
func TestAllDamageIsFound(t *testing.T) {
	path, rows := spoilt(t, 9)
	want := []string{"id-1", "id-2", "id-3", "id-4"}
	s := opened(t, path, Options{ReadOnly: true})
	var got []string
	bad, err := s.Load(context.Background(), func(r *Row) error { got = append(got, r.ID); return nil })
	if err != nil || !slices.Equal(namesOf(bad), want) || !slices.Equal(got, []string{"id-0", "id-5", "id-6", "id-7", "id-8"}) {
		t.Errorf("%v, %+v, and loaded %v", err, bad, got)
	}
	keys := make([]int64, len(rows))
	for i := range rows {
		keys[i] = rows[i].Key
	}
	var lost []int64
	err = s.Each(context.Background(), keys, true, func(_ int, r *Row, d *Damage) bool {
		if d != nil {
			lost = append(lost, d.Key)
		}
		return true
	})
	if err != nil || !slices.Equal(lost, keys[1:5]) {
		t.Errorf("%v, and Each passes over %v", err, lost)
	}
	r, err := s.Survey(context.Background(), func(*Row) error { return nil })
	if err != nil || r.Rows != 5 || !slices.Equal(namesOf(r.Damaged), want) || len(r.Other) == 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// A damaged row can be removed, and stored again by its id, whatever is wrong with it, and the
// others keep their entries in the index of ids.
func TestDamageIsMended(t *testing.T) {
	ctx := context.Background()
	for name, mend := range map[string]func(s *Store, r Row, d Damage) error{
		"discard": func(s *Store, _ Row, d Damage) error { return s.Discard(ctx, d) },
		"delete": func(s *Store, r Row, _ Damage) error {
			return s.Apply(ctx, []Change{{Row: Row{Namespace: r.Namespace, ID: r.ID}, Delete: true}})
		},
		"upsert": func(s *Store, r Row, _ Damage) error { return s.Apply(ctx, puts(r)) },
	} {
		path, rows := spoilt(t, 9)
		s := opened(t, path, Options{})
		bad, err := s.Load(ctx, func(*Row) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range bad {
			if err := mend(s, rows[d.Key-1], d); err != nil {
				t.Errorf("%s of %s: %v", name, d.ID, err)
			}
		}
		if err := s.Verify(ctx); err != nil {
			t.Errorf("after %s: %v", name, err)
		}
		want := rows
		if name != "upsert" {
			want = slices.Delete(slices.Clone(rows), 1, 5)
		}
		wantRows(t, s, want...)
	}
}

// A copy of a damaged file has the same damage, and the same names of damaged rows.
func TestCopiesKeepDamage(t *testing.T) {
	ctx := context.Background()
	path, rows := spoilt(t, 9)
	s := opened(t, path, Options{})
	was, err := s.Load(ctx, func(*Row) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	copied := path + ".copy"
	if err := errors.Join(s.Backup(ctx, copied), s.Compact(ctx)); err != nil {
		t.Fatal(err)
	}
	other := opened(t, copied, Options{})
	for name, s := range map[string]*Store{"backup": other, "compact": s} {
		bad, err := s.Load(ctx, func(*Row) error { return nil })
		if err != nil || !slices.Equal(bad, was) {
			t.Errorf("after %s: %v, %v", name, bad, err)
		}
		apply(t, s, puts(rows[1:5]...)...)
		wantRows(t, s, rows...)
	}
}

// A damaged thumbnail is found and can be removed without its row.
func TestDamagedThumbnail(t *testing.T) {
	ctx := context.Background()
	s := made(t, testAbout)
	rows := rowsIn(apply(t, s, puts(rowsOf(0, 4, testDim)...)...))
	path := s.path
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	replaced(t, path, "JPEG 3", "JPEG 4")
	s = opened(t, path, Options{})
	r, err := s.Survey(ctx, func(*Row) error { return nil })
	want := Damage{Key: 4, Namespace: "default", ID: "id-3", Thumbnail: true, Reason: failsChecksum}
	if err != nil || r.Rows != 4 || len(r.Other) > 0 || !slices.Equal(r.Damaged, []Damage{want}) {
		t.Fatalf("%+v, %v", r, err)
	}
	left, err := s.Remains(ctx, want)
	if err != nil || string(left["jpeg"].([]byte)) != "JPEG 4" {
		t.Errorf("%v, %v", left, err)
	}
	if err := errors.Join(s.Discard(ctx, want), s.Verify(ctx)); err != nil {
		t.Error(err)
	}
	rows[3].Thumbnail = nil
	wantRows(t, s, rows...)
}

// What can be read of a damaged row is returned; a row that cannot be named stays, and the others
// can be removed all the same.
func TestRemains(t *testing.T) {
	ctx := context.Background()
	path, rows := spoilt(t, 9)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[bytes.Index(text, []byte("defaultid-7p"))-8] = 0x7f // the namespace's length, or the id's
	text[bytes.Index(text, []byte("defaultid-7p"))-7] = 0x7f
	if err := os.WriteFile(path, text, 0o666); err != nil {
		t.Fatal(err)
	}
	s := opened(t, path, Options{})
	bad, err := s.Load(ctx, func(*Row) error { return nil })
	if err != nil || !slices.Equal(namesOf(bad), []string{"id-1", "id-2", "id-3", "id-4", "id-7"}) {
		t.Fatalf("%v, %v", bad, err)
	}
	left, err := s.Remains(ctx, bad[0])
	if err != nil || left["id"] != "id-1" || left["metadata"] != string(rows[1].Metadata) || len(left["vector"].([]byte)) != 4*testDim {
		t.Errorf("%v, %v", left, err)
	}
	if left, err = s.Remains(ctx, bad[3]); err != nil || left["source"] != rows[4].Source || left["vector"] != nil {
		t.Errorf("%v, %v", left, err)
	}
	if err := s.Discard(ctx, bad[4]); !errors.Is(err, ErrDamaged) {
		t.Errorf("a row that cannot be read: %v", err)
	}
	for _, d := range bad[:4] {
		if err := s.Discard(ctx, d); err != nil {
			t.Error(err)
		}
	}
	if bad, err = s.Load(ctx, func(*Row) error { return nil }); err != nil || len(bad) != 1 {
		t.Errorf("%v, %v", bad, err)
	}
}

// A change of an item whose index entry leads to another, sound row does not touch that.
func TestMisledChange(t *testing.T) {
	s := made(t, testAbout)
	apply(t, s, puts(rowsOf(0, 4, testDim)...)...)
	path := s.path
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	replaced(t, path, "defaultid-2\x03", "defaultid-2\x02")
	s = opened(t, path, Options{})
	for _, c := range []Change{{Row: rowOf(2, testDim)}, {Row: Row{Namespace: "default", ID: "id-2"}, Delete: true}} {
		if err := s.Apply(context.Background(), []Change{c}); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "leads from") {
			t.Errorf("delete is %v: %v", c.Delete, err)
		}
	}
	rows, err := s.Get(context.Background(), []int64{2}, true)
	if err != nil || rows[2].ID != "id-1" {
		t.Errorf("%v, %v", rows, err)
	}
}
