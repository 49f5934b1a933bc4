package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"testing"
)

func TestRowsComeBackAsTheyWere(t *testing.T) {
	center := rowOf(99, testDim).Vector
	about := About{Fingerprint: "f", Dim: testDim, Center: center}
	s := made(t, about)
	rows := rowsOf(0, 20, testDim)
	rows[1].Namespace = "ä/\x00 b"
	rows[2].ID, rows[2].Namespace = "\xff\x00'\"%", ""
	rows[3].Metadata, rows[3].Hash, rows[3].Source = nil, nil, ""
	rows[4].Vector[3] = float32(1e-40)
	rows[5].ID = rows[6].ID
	rows[5].Namespace = "other"
	changes := apply(t, s, puts(rows...)...)
	for i, c := range changes {
		if c.Key != int64(i+1) {
			t.Errorf("row %d has the key %d", i, c.Key)
		}
	}
	wantRows(t, s, rowsIn(changes)...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"-wal", "-shm", ".new"} {
		if _, err := os.Stat(s.path + suffix); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after Close the file %s is there", suffix)
		}
	}
	s = opened(t, s.path, Options{About: testAbout})
	wantRows(t, s, rowsIn(changes)...)
	if !reflect.DeepEqual(s.About(), about) {
		t.Errorf("about is %+v", s.About())
	}
	if n, err := s.Rows(context.Background()); n != len(rows) || err != nil {
		t.Errorf("%d rows, %v", n, err)
	}
}

func TestApply(t *testing.T) {
	s := made(t, testAbout)
	first := apply(t, s, puts(rowsOf(0, 4, testDim)...)...)
	again := rowOf(1, testDim)
	again.Vector, again.Thumbnail = rowOf(50, testDim).Vector, nil
	with := rowOf(2, testDim)
	with.Thumbnail = []byte("new")
	second := apply(t, s,
		Change{Row: again}, Change{Row: with},
		Change{Row: Row{Namespace: "default", ID: "id-3"}, Delete: true},
		Change{Row: Row{Namespace: "default", ID: "nobody"}, Delete: true},
		Change{Row: Row{Namespace: "nowhere", ID: "id-0"}, Delete: true},
		Change{Row: rowOf(9, testDim)}, Change{Row: Row{Namespace: "default", ID: "id-9"}, Delete: true},
		Change{Row: rowOf(3, testDim)})
	var keys []int64
	for _, c := range second {
		keys = append(keys, c.Key)
	}
	if want := []int64{2, 3, 4, 0, 0, 5, 5, 6}; !slices.Equal(keys, want) {
		t.Errorf("keys are %v, want %v", keys, want)
	}
	want := []Row{first[0].Row, second[0].Row, second[1].Row, second[7].Row}
	wantRows(t, s, want...)
	s.Close()
	s = opened(t, s.path, Options{})
	wantRows(t, s, want...)
	if c := apply(t, s, Change{Row: rowOf(10, testDim)}); c[0].Key != 7 {
		t.Errorf("the next key is %d", c[0].Key)
	}
}

func TestApplyIsAllOrNothing(t *testing.T) {
	s := made(t, testAbout)
	before := apply(t, s, puts(rowsOf(0, 3, testDim)...)...)
	bad := rowOf(4, testDim)
	bad.Vector = bad.Vector[1:]
	err := s.Apply(context.Background(), append(puts(rowOf(0, testDim), rowOf(3, testDim)), Change{Row: bad}))
	if err == nil {
		t.Fatal("a vector of another dimension was stored")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Apply(ctx, puts(rowOf(5, testDim))); !errors.Is(err, context.Canceled) {
		t.Errorf("after its context has ended: %v", err)
	}
	wantRows(t, s, rowsIn(before)...)
}

func TestGet(t *testing.T) {
	s := made(t, testAbout)
	stored := apply(t, s, puts(rowsOf(0, 5, testDim)...)...)
	for _, vectors := range []bool{false, true} {
		got, err := s.Get(context.Background(), []int64{5, 2, 77, 2}, vectors)
		if err != nil {
			t.Fatal(err)
		}
		want := map[int64]Row{}
		for _, i := range []int{1, 4} {
			r := stored[i].Row
			r.Pictured, r.Thumbnail = r.Thumbnail != nil, nil
			if !vectors {
				r.Vector = nil
			}
			want[r.Key] = r
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
	}
}

// Rows are read one at a time, and none after take has returned false: a damaged one there goes
// unnoticed. Damaged ones before are passed over.
func TestEach(t *testing.T) {
	s := made(t, testAbout)
	apply(t, s, puts(rowsOf(0, 5, testDim)...)...)
	if err := run(s.writer.conn, "UPDATE items SET metadata = 'x' WHERE key = 4"); err != nil {
		t.Fatal(err)
	}
	var got, damaged []int
	each := func(most int) error {
		got, damaged = nil, nil
		return s.Each(context.Background(), []int64{3, 77, 1, 4, 2}, false, func(i int, r *Row, bad *Damage) bool {
			if bad != nil {
				damaged = append(damaged, i)
				return true
			}
			got = append(got, i)
			return len(got) < most
		})
	}
	if err := each(2); err != nil || !slices.Equal(got, []int{0, 2}) || damaged != nil {
		t.Errorf("two rows: %v, %v, %v", got, damaged, err)
	}
	if err := each(3); err != nil || !slices.Equal(got, []int{0, 2, 4}) || !slices.Equal(damaged, []int{3}) {
		t.Errorf("a damaged one, too: %v, %v, %v", got, damaged, err)
	}
}

func TestLoadThatIsEnded(t *testing.T) {
	s := made(t, testAbout)
	apply(t, s, puts(rowsOf(0, 5, testDim)...)...)
	enough := errors.New("enough")
	n := 0
	err := loadAll(s, context.Background(), func(*Row) error {
		if n++; n == 2 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || n != 2 {
		t.Errorf("after %d rows: %v", n, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	err = loadAll(s, ctx, func(*Row) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("after its context has ended: %v", err)
	}
	apply(t, s, puts(rowOf(9, testDim))...)
}

func TestMeta(t *testing.T) {
	s := made(t, testAbout)
	ctx := context.Background()
	for _, value := range [][]byte{[]byte("1"), []byte("22\x00"), {}, nil} {
		if err := s.SetMeta(ctx, "fingerprint", value); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Meta(ctx, "fingerprint"); !reflect.DeepEqual(got, value) || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, value)
		}
	}
	s.Close()
	if s := opened(t, s.path, Options{}); s.About().Fingerprint != testAbout.Fingerprint {
		t.Errorf("a name of a caller's hid the store's own")
	}
}

func TestClosed(t *testing.T) {
	s := made(t, testAbout)
	ctx := context.Background()
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	_, get := s.Get(ctx, []int64{1}, true)
	for name, err := range map[string]error{"Apply": s.Apply(ctx, puts(rowOf(0, testDim))), "Get": get, "Load": loadAll(s, ctx, nil)} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
