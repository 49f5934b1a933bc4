package index_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"vicreg/server/index"
	"vicreg/server/index/store"
)

// spread returns items 0 to n-1 with vectors that are not much alike.
func spread(n int) (items []index.Item) {
	for i := range n {
		it := around(400*i, 400*i+1)[0]
		it.ID = fmt.Sprintf("%05d", i)
		items = append(items, it)
	}
	return items
}

// rot changes the metadata of items 0 to n-1 in the file, also while that is in use. Their keys are
// those of spread in a new index.
func rot(t *testing.T, path string, which ...int) {
	t.Helper()
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range which {
		if _, err := db.Exec("UPDATE items SET metadata = '{}' WHERE key = ?", i+1); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// grown returns the path of a closed index of spread(n).
func grown(t *testing.T, n int) (path string) {
	t.Helper()
	f := made(t, 0)
	put(t, f, "default", spread(n)...)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return f.Path()
}

func namesOf(bad []index.Damage) (names []string) {
	for _, d := range bad {
		names = append(names, d.Namespace+"/"+d.ID)
	}
	return names
}

// sound checks that nothing of a file is damaged.
func sound(t *testing.T, path string) {
	t.Helper()
	r, err := index.Survey(context.Background(), path, nil)
	if err != nil || len(r.Damaged)+len(r.Other) > 0 {
		t.Fatalf("%+v, %v", r, err)
	}
}

// Damaged items are left out and named. They count as existing, and are mended by being stored
// again or deleted.
func TestDamagedItemsAreLeftOut(t *testing.T) {
	ctx := context.Background()
	path := grown(t, 30)
	rot(t, path, 7, 9)
	f := open(t, path, index.Options{})
	if bad := f.Damaged(); f.Len() != 28 || f.Stats().Damaged != 2 || !slices.Equal(namesOf(bad), []string{"default/00007", "default/00009"}) {
		t.Fatalf("%d items, and damaged are %+v", f.Len(), bad)
	}
	if got := ids(t, f, index.Query{ID: "00008", K: 2}); !slices.Equal(got, []string{"00010", "00006"}) && !slices.Equal(got, []string{"00006", "00010"}) {
		t.Errorf("a search finds %v", got)
	}
	_, get := f.Get(ctx, "default", "00007")
	_, thumbnail := f.Thumbnail(ctx, "default", "00007")
	_, search := f.Search(ctx, "default", index.Query{ID: "00007", K: 1})
	for name, err := range map[string]error{"Get": get, "Thumbnail": thumbnail, "Search": search} {
		if !errors.Is(err, index.ErrDamaged) || errors.Is(err, index.ErrUnknown) {
			t.Errorf("%s of a damaged item: %v", name, err)
		}
	}
	if !f.Has("default", "00007") || f.Has("default", "x") {
		t.Error("a damaged item counts as one that there is not")
	}
	if created, err := f.Upsert(ctx, "default", spread(8)[7:]...); err != nil || created[0] {
		t.Errorf("stored again: created is %v, %v", created, err)
	}
	if gone, err := f.Delete(ctx, "default", "00009"); err != nil || !gone[0] {
		t.Errorf("deleted: %v, %v", gone, err)
	}
	if it, err := f.Get(ctx, "default", "00007"); err != nil || !slices.Equal(it.Vector, spread(8)[7:][0].Vector) {
		t.Errorf("%v, %v", it, err)
	}
	if sound(t, path); f.Len() != 29 || len(f.Damaged()) != 0 {
		t.Errorf("%d items, and damaged are %v", f.Len(), f.Damaged())
	}
}

// An item that rots while the file is in use is left out of hits and lists, and reported once.
func TestItemsRotInUse(t *testing.T) {
	ctx := context.Background()
	var told []index.Damage
	f := open(t, grown(t, 30), index.Options{Damaged: func(d index.Damage) { told = append(told, d) }})
	rot(t, f.Path(), 7)
	query := index.Query{Vector: spread(8)[7:][0].Vector, K: 3}
	for range 2 {
		page, err := f.List(ctx, "default", index.Listing{Limit: 20})
		if err != nil || len(page.Items) != 19 || page.Next == 0 {
			t.Errorf("a page has %+v, %v", page, err)
		}
		if len(f.Damaged()) != 1 {
			t.Error("the list does not report it")
		}
		if got := ids(t, f, query); len(got) != 2 || slices.Contains(got, "00007") {
			t.Errorf("found %v", got)
		}
	}
	if _, err := f.Get(ctx, "default", "00007"); !errors.Is(err, index.ErrDamaged) {
		t.Errorf("got %v", err)
	}
	if !slices.Equal(namesOf(told), []string{"default/00007"}) || len(f.Damaged()) != 1 {
		t.Errorf("told %+v, damaged %+v", told, f.Damaged())
	}
	put(t, f, "default", spread(8)[7:]...)
	if got := ids(t, f, query); !slices.Contains(got, "00007") || len(f.Damaged()) != 0 {
		t.Errorf("mended: found %v, damaged %v", got, f.Damaged())
	}
}

// A description without vectors in memory is that of the loaded file.
func TestDescribe(t *testing.T) {
	path := grown(t, 30)
	f := open(t, path, index.Options{})
	put(t, f, "other", around(0, 5000)...)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	rot(t, path, 7, 12)
	f = open(t, path, index.Options{ReadOnly: true})
	last := 0
	d, err := index.Describe(context.Background(), path, func(done, total int) { last = total })
	if err != nil {
		t.Fatal(err)
	}
	if want := f.Stats(); d.Stats != want || d.Stats.Items != 5028 {
		t.Errorf("%+v, want %+v", d.Stats, want)
	}
	if want := f.Namespaces(); !reflect.DeepEqual(d.Namespaces, want) || !reflect.DeepEqual(d.Binding, f.Binding()) || !slices.Equal(d.Damaged, f.Damaged()) {
		t.Errorf("%+v, want %+v", d, want)
	}
	if last != 0 {
		t.Errorf("progress after few items, of %d", last)
	}
}

// Discard removes what Survey finds, after it has handed over what is left of it.
func TestDiscard(t *testing.T) {
	ctx := context.Background()
	path := grown(t, 30)
	rot(t, path, 7, 12)
	overwrite(t, path, store.Row{Namespace: "default", ID: "00009", Vector: []float32{0, 0, 0}})
	r, err := index.Survey(ctx, path, nil)
	if err != nil || r.Rows != 27 || len(r.Other) > 0 || len(r.Damaged) != 3 {
		t.Fatalf("%+v, %v", r, err)
	}
	kept := map[string]any{}
	removed, left, err := index.Discard(ctx, path, nil, func(d index.Damage, remains map[string]any) error {
		kept[d.ID] = remains["metadata"]
		return nil
	})
	if err != nil || len(left) > 0 || !slices.Equal(removed, r.Damaged) {
		t.Errorf("removed %v, left %v, %v", removed, left, err)
	}
	if want := map[string]any{"00007": "{}", "00012": "{}", "00009": nil}; !reflect.DeepEqual(kept, want) {
		t.Errorf("kept %v", kept)
	}
	if r, err = index.Survey(ctx, path, nil); err != nil || r.Rows != 27 || len(r.Other)+len(r.Damaged) > 0 {
		t.Errorf("%+v, %v", r, err)
	}
	rot(t, path, 3)
	full := errors.New("full")
	if _, _, err := index.Discard(ctx, path, nil, func(index.Damage, map[string]any) error { return full }); !errors.Is(err, full) {
		t.Error(err)
	}
	if f := open(t, path, index.Options{}); len(f.Damaged()) != 1 {
		t.Error("what could not be kept is gone")
	}
}

// Nothing is removed from a file whose pages are damaged: a page that SQLite takes for free may
// belong to a sound item.
func TestDiscardRefusesDamagedPages(t *testing.T) {
	path := grown(t, 30)
	rot(t, path, 7)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	binary.BigEndian.PutUint32(text[36:], 1) // a free page, of which there is no list
	if err := os.WriteFile(path, text, 0o666); err != nil {
		t.Fatal(err)
	}
	removed, left, err := index.Discard(context.Background(), path, nil, func(index.Damage, map[string]any) error {
		t.Error("an item is about to be removed")
		return nil
	})
	if !errors.Is(err, index.ErrDamaged) || !strings.Contains(err.Error(), "vicreg index restore") || len(removed)+len(left) > 0 {
		t.Errorf("removed %v, left %v, %v", removed, left, err)
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, text) {
		t.Errorf("the file was changed: %v", err)
	}
}

// What stays damaged after all damaged items have been removed is an error.
func TestDiscardLooksBack(t *testing.T) {
	path := grown(t, 30)
	rot(t, path, 12)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	entry, misled := []byte("default00007\x08"), []byte("default00007\x09") // of the index of ids
	if bytes.Count(text, entry) != 1 {
		t.Fatal("the entry is not found")
	}
	if err := os.WriteFile(path, bytes.Replace(text, entry, misled, 1), 0o666); err != nil {
		t.Fatal(err)
	}
	removed, left, err := index.Discard(context.Background(), path, nil, func(index.Damage, map[string]any) error { return nil })
	if !errors.Is(err, index.ErrDamaged) || !strings.Contains(err.Error(), "beyond its damaged items") || len(left) > 0 || !slices.Equal(namesOf(removed), []string{"default/00012"}) {
		t.Errorf("removed %v, left %v, %v", removed, left, err)
	}
}
