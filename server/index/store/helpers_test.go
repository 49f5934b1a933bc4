package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const testDim = 16

var testAbout = About{Fingerprint: "sha256:0123", Dim: testDim}

// made opens a new index in a temporary folder.
func made(t testing.TB, about About) *Store {
	t.Helper()
	return opened(t, filepath.Join(t.TempDir(), "x.index"), Options{About: about, Create: true})
}

func opened(t testing.TB, path string, o Options) *Store {
	t.Helper()
	s, err := Open(context.Background(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// rowOf makes the n-th row; its content identifies it.
func rowOf(n, dim int) Row {
	rng := rand.New(rand.NewPCG(uint64(n), 1))
	r := Row{Namespace: "default", ID: fmt.Sprintf("id-%d", n), Vector: make([]float32, dim), Source: fmt.Sprintf("photos/%d.jpg", n)}
	for i := range r.Vector {
		r.Vector[i] = float32(rng.NormFloat64())
	}
	r.Metadata = fmt.Appendf(nil, `{"label":"cat","n":%d}`, n)
	r.Hash = binary.BigEndian.AppendUint64(make([]byte, 24), uint64(n))
	if n%2 == 1 {
		r.Thumbnail = fmt.Appendf(nil, "JPEG %d", n)
	}
	return r
}

func puts(rows ...Row) (changes []Change) {
	for _, r := range rows {
		changes = append(changes, Change{Row: r})
	}
	return changes
}

func rowsOf(from, to, dim int) (rows []Row) {
	for n := from; n < to; n++ {
		rows = append(rows, rowOf(n, dim))
	}
	return rows
}

func apply(t testing.TB, s *Store, changes ...Change) []Change {
	t.Helper()
	if err := s.Apply(context.Background(), changes); err != nil {
		t.Fatal(err)
	}
	return changes
}

// loaded returns all that an index holds, thumbnails included.
func loaded(t testing.TB, s *Store) (rows []Row) {
	t.Helper()
	err := loadAll(s, context.Background(), func(r *Row) error {
		c := *r
		c.Vector, c.Metadata = slices.Clone(r.Vector), slices.Clone(r.Metadata)
		rows = append(rows, c)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		if rows[i].Thumbnail, err = s.Thumbnail(context.Background(), rows[i].Key); err != nil {
			t.Fatal(err)
		}
	}
	return rows
}

// wantRows compares what an index holds with rows in the order of their keys.
func wantRows(t testing.TB, s *Store, want ...Row) {
	t.Helper()
	got := loaded(t, s)
	if !slices.EqualFunc(got, want, func(a, b Row) bool { return reflect.DeepEqual(a, b) }) {
		t.Fatalf("got %d rows\n%+v\nwant %d\n%+v", len(got), got, len(want), want)
	}
}

func rowsIn(changes []Change) (rows []Row) {
	for _, c := range changes {
		rows = append(rows, c.Row)
	}
	return rows
}

// loadAll is Load for a test in which damage is an error.
func loadAll(s *Store, ctx context.Context, each func(r *Row) error) error {
	bad, err := s.Load(ctx, each)
	for i := range bad {
		err = errors.Join(err, &bad[i])
	}
	return err
}

// Verify is Survey for a test in which damage is an error.
func (s *Store) Verify(ctx context.Context) error {
	r, err := s.Survey(ctx, func(*Row) error { return nil })
	if err != nil {
		return err
	}
	found := r.Other
	for i := range r.Damaged[:min(maxComplaints, len(r.Damaged))] {
		found = append(found, strings.TrimPrefix(r.Damaged[i].Error(), ErrDamaged.Error()+": "))
	}
	if len(found) == 0 {
		return nil
	}
	return explain("verify index", s.path, fmt.Errorf("%w: %s", ErrDamaged, strings.Join(found, "; ")))
}
