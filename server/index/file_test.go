package index_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"vicreg/server/index"
	"vicreg/server/index/filter"
	"vicreg/server/index/indextest"
)

func TestFileConforms(t *testing.T) {
	indextest.Conformance(t, func(t *testing.T, b index.Binding) index.Index {
		return open(t, filepath.Join(t.TempDir(), "x.index"), index.Options{Binding: b, Create: true})
	})
}

func TestNaiveConforms(t *testing.T) {
	indextest.Conformance(t, func(t *testing.T, b index.Binding) index.Index { return indextest.NewNaive(b) })
}

func open(t *testing.T, path string, o index.Options) *index.File {
	t.Helper()
	f, err := index.Open(context.Background(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

var three = index.Binding{Fingerprint: "model a", Dim: 3}

// made returns an index of items 0 to n-1, spread over a quarter of a circle with item 0 first.
func made(t *testing.T, n int) *index.File {
	f := open(t, filepath.Join(t.TempDir(), "x.index"), index.Options{Binding: three, Create: true})
	put(t, f, "default", around(0, n)...)
	return f
}

func around(from, to int) (items []index.Item) {
	for i := from; i < to; i++ {
		angle := float64(i) / 20000 * math.Pi / 2
		items = append(items, index.Item{ID: fmt.Sprintf("%05d", i), Vector: []float32{float32(2 * math.Cos(angle)), float32(2 * math.Sin(angle)), 0},
			Metadata: fmt.Appendf(nil, `{"i": %d}`, i), Thumbnail: []byte{byte(i)}})
	}
	return items
}

func put(t *testing.T, f *index.File, namespace string, items ...index.Item) {
	t.Helper()
	if _, err := f.Upsert(context.Background(), namespace, items...); err != nil {
		t.Fatal(err)
	}
}

// ids returns the ids of a query's hits.
func ids(t *testing.T, f *index.File, q index.Query) (ids []string) {
	t.Helper()
	hits, err := f.Search(context.Background(), "default", q)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range hits[0] {
		ids = append(ids, h.ID)
	}
	return ids
}

// What was acknowledged is there when the file is reopened, and answers are bit-identical.
func TestReopen(t *testing.T) {
	ctx := context.Background()
	f := made(t, 5000)
	put(t, f, "other", around(7, 9)...)
	for i := 0; i < 5000; i += 3 {
		if _, err := f.Delete(ctx, "default", fmt.Sprintf("%05d", i)); err != nil {
			t.Fatal(err)
		}
	}
	queries := []index.Query{{Vector: []float32{3, 1, 0}, K: 1000}, {ID: "00100", K: 7}}
	before, err := f.Search(ctx, "default", queries...)
	if err != nil {
		t.Fatal(err)
	}
	namespaces := f.Namespaces()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Search(ctx, "default", queries...); !errors.Is(err, index.ErrClosed) {
		t.Errorf("a search after the end: %v", err)
	}
	if _, err := f.Upsert(ctx, "default", around(0, 1)...); !errors.Is(err, index.ErrClosed) {
		t.Errorf("an upsert after the end: %v", err)
	}
	g := open(t, f.Path(), index.Options{Binding: three})
	after, err := g.Search(ctx, "default", queries...)
	if err != nil || !reflect.DeepEqual(after, before) && !samePercentiles(after, before) {
		t.Errorf("%v: answers have changed", err)
	}
	if now := g.Namespaces(); !reflect.DeepEqual(now, namespaces) || now[1].Items != 2 || now[0].Fields[0] != "i" {
		t.Errorf("namespaces %v, were %v", now, namespaces)
	}
	if image, err := g.Thumbnail(ctx, "default", "00100"); err != nil || image[0] != 100 {
		t.Errorf("thumbnail %v, %v", image, err)
	}
}

// samePercentiles allows for the other random pairs of a file whose rows are in another order.
func samePercentiles(a, b [][]index.Hit) bool {
	for i := range a {
		for k := range a[i] {
			if math.Abs(a[i][k].Percentile-b[i][k].Percentile) > 2 {
				return false
			}
			a[i][k].Percentile = b[i][k].Percentile
		}
	}
	return reflect.DeepEqual(a, b)
}

func TestOpenRefuses(t *testing.T) {
	ctx := context.Background()
	f := made(t, 1)
	tests := []struct {
		name string
		o    index.Options
		path string
		want error
		says string
	}{
		{"another model", index.Options{Binding: index.Binding{Fingerprint: "model b", Dim: 3}, ReadOnly: true}, f.Path(), index.ErrModel, "model a, but this model is model b"},
		{"another dimension", index.Options{Binding: index.Binding{Fingerprint: "model a", Dim: 4}, ReadOnly: true}, f.Path(), index.ErrModel, "3 numbers, but those of the model have 4"},
		{"two owners", index.Options{Binding: three}, f.Path(), index.ErrInUse, f.Path()},
		{"no file", index.Options{Binding: three}, f.Path() + "2", fs.ErrNotExist, f.Path() + "2"},
	}
	for _, tt := range tests {
		g, err := index.Open(ctx, tt.path, tt.o)
		if err == nil {
			g.Close()
		}
		if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// A reader beside the owner sees what was there when it opened the file.
func TestReadOnly(t *testing.T) {
	ctx := context.Background()
	f := made(t, 10)
	g := open(t, f.Path(), index.Options{ReadOnly: true})
	put(t, f, "default", around(10, 20)...)
	if g.Len() != 10 || g.Binding().Fingerprint != "model a" {
		t.Errorf("%d items of %v", g.Len(), g.Binding())
	}
	if _, err := g.Upsert(ctx, "default", around(0, 1)...); err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("a reader writes: %v", err)
	}
}

func TestCheck(t *testing.T) {
	f := open(t, filepath.Join(t.TempDir(), "x.index"), index.Options{Binding: index.Binding{Fingerprint: "f", Dim: 2, Center: []float32{1, 2}}, Create: true})
	good := index.Item{ID: "a", Vector: []float32{1, 1}}
	for _, tt := range []struct {
		change func(*index.Item)
		says   string
	}{
		{func(i *index.Item) { i.ID = "" }, "the id is empty"},
		{func(i *index.Item) { i.ID = strings.Repeat("x", 513) }, "the id has 513 bytes"},
		{func(i *index.Item) { i.ID = "a\nb" }, "control characters"},
		{func(i *index.Item) { i.ID = "\xff" }, "not UTF-8"},
		{func(i *index.Item) { i.Vector = []float32{1} }, "the vector has 1 numbers: want 2, as in this index"},
		{func(i *index.Item) { i.Vector = []float32{1, float32(math.NaN())} }, "number 1 of the vector is not finite"},
		{func(i *index.Item) { i.Vector = []float32{1, 2} }, "zero"},
		{func(i *index.Item) { i.Vector = []float32{1, float32(math.Inf(1))} }, "number 1 of the vector is not finite"},
		{func(i *index.Item) { i.Metadata = []byte(`[1]`) }, "object"},
		{func(i *index.Item) { i.Metadata = []byte(`{"a": "` + strings.Repeat("x", 16<<10) + `"}`) }, "metadata has"},
		{func(i *index.Item) { i.Hash = make([]byte, 20) }, "SHA-256"},
		{func(i *index.Item) { i.Thumbnail = make([]byte, 65<<10) }, "thumbnail has"},
		{func(i *index.Item) { i.Source = strings.Repeat("x", 600) }, "source has"},
	} {
		item := good
		tt.change(&item)
		if err := f.Check(item); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%v, want %q", err, tt.says)
		}
		var at *index.ItemError
		if _, err := f.Upsert(context.Background(), "default", good, item); !errors.As(err, &at) || at.Index != 1 || f.Len() > 0 {
			t.Errorf("upsert: %v, and %d items are there", err, f.Len())
		}
	}
	if err := f.Check(good); err != nil {
		t.Error(err)
	}
	if _, err := f.Upsert(context.Background(), "", good); err == nil || !strings.Contains(err.Error(), "namespace is empty") {
		t.Errorf("a namespace without a name: %v", err)
	}
}

// Metadata that keeps changing does not accumulate in memory, and filters still find what is
// there.
func TestMetadataComesBack(t *testing.T) {
	f := made(t, 2)
	for round := range 30 {
		items := around(0, 1000)
		for i := range items {
			items[i].Metadata = fmt.Appendf(nil, `{"at": "%d %d", "in": [%d, "x"], "f%d": {}}`, round, i, round*1000+i, round)
		}
		put(t, f, "default", items...)
	}
	for text, want := range map[string][]string{`{"at": "29 7"}`: {"00007"}, `{"in": 29008}`: {"00008"}, `{"at": "28 7"}`: nil, `{"f3": {"$exists": true}}`: nil} {
		if got := ids(t, f, index.Query{Vector: []float32{1, 0, 0}, K: 3, Filter: parse(t, text)}); !slices.Equal(got, want) {
			t.Errorf("%s finds %v, want %v", text, got, want)
		}
	}
	if fields := f.Namespaces()[0].Fields; len(fields) > 20 {
		t.Errorf("%d fields are remembered, and 3 are there", len(fields))
	}
}

// A namespace takes memory only for its items, and none when it is empty.
func TestNamespacesComeAndGo(t *testing.T) {
	ctx := context.Background()
	f := open(t, filepath.Join(t.TempDir(), "x.index"), index.Options{Binding: index.Binding{Fingerprint: "f", Dim: 1024}, Create: true})
	vector := make([]float32, 1024)
	vector[0] = 1
	for i := range 50 {
		put(t, f, fmt.Sprint(i), index.Item{ID: "a", Vector: vector})
	}
	if s := f.Stats(); s.Items != 50 || s.Memory > 50*2*1024*5 {
		t.Errorf("%d items in %d bytes", s.Items, s.Memory)
	}
	for i := range 50 {
		if gone, err := f.Delete(ctx, fmt.Sprint(i), "a", "b"); err != nil || !gone[0] || gone[1] {
			t.Fatal(gone, err)
		}
	}
	if gone, err := f.Delete(ctx, "never", "a"); err != nil || gone[0] {
		t.Errorf("%v %v", gone, err)
	}
	if s := f.Stats(); s.Memory != 0 || len(f.Namespaces()) > 0 {
		t.Errorf("%d bytes of %v", s.Memory, f.Namespaces())
	}
	put(t, f, "7", index.Item{ID: "a", Vector: vector})
	if f.Len() != 1 || !f.Has("7", "a") {
		t.Error("a namespace did not come back")
	}
}

// Fields of a call that failed, or that no item has any more, are freed again.
func TestFieldsComeBack(t *testing.T) {
	ctx := context.Background()
	f := made(t, 10)
	with := func(id string, from, to int) index.Item {
		var fields []string
		for i := from; i < to; i++ {
			fields = append(fields, fmt.Sprintf(`"f%d": 1`, i))
		}
		return index.Item{ID: id, Vector: []float32{1, 2, 3}, Metadata: []byte("{" + strings.Join(fields, ",") + "}")}
	}
	var many []index.Item
	for i := range 6 {
		many = append(many, with(fmt.Sprint("m", i), 200*i, 200*i+200))
	}
	for range 3 {
		var item *index.ItemError
		if _, err := f.Upsert(ctx, "default", many...); !errors.As(err, &item) || item.Index != 5 || !errors.Is(err, filter.ErrFields) {
			t.Fatal(err)
		}
	}
	if fields := f.Namespaces()[0].Fields; !slices.Equal(fields, []string{"i"}) {
		t.Errorf("fields %v", fields)
	}
	put(t, f, "default", many[:5]...)
	for i := range 5 {
		put(t, f, "default", with(fmt.Sprint("m", i), 0, 1))
	}
	put(t, f, "default", many[5], with("x", 5000, 5200))
	if got := ids(t, f, index.Query{Vector: []float32{1, 2, 3}, K: 3, Filter: parse(t, `{"f1100": 1}`)}); !slices.Equal(got, []string{"m5"}) {
		t.Errorf("found %v", got)
	}
}

// A list returns every item once, in the order of first insertion.
func TestList(t *testing.T) {
	ctx := context.Background()
	f := made(t, 5000)
	put(t, f, "default", around(40, 50)...) // stored again, keeping their places
	if _, err := f.Delete(ctx, "default", "00000"); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]int{`{}`: 4999, `{"i": {"$gte": 100, "$lt": 1234}}`: 1134, `{"i": "none"}`: 0} {
		l := index.Listing{Limit: 100, Filter: parse(t, text), Vectors: true}
		seen := 0
		for last := ""; ; {
			page, err := f.List(ctx, "default", l)
			if err != nil || page.Total != want || len(page.Items) > 100 {
				t.Fatalf("%+v, %v: want a total of %d", page, err, want)
			}
			for _, item := range page.Items {
				if item.ID <= last || len(item.Vector) != 3 {
					t.Fatalf("%q comes after %q", item.ID, last)
				}
				last = item.ID
				seen++
			}
			if l.After = page.Next; page.Next == 0 {
				break
			}
		}
		if seen != want {
			t.Errorf("%s: %d items, want %d", text, seen, want)
		}
	}
	if _, err := f.List(ctx, "default", index.Listing{}); err == nil {
		t.Error("a page without room was given")
	}
}

// A page ends before it exceeds its bytes, and the next one continues there; a page without room
// for an item has one all the same.
func TestListOfBytes(t *testing.T) {
	f := made(t, 10)
	const item = 5 + 8 // the id, and {"i": 0}
	for bytes, want := range map[int64]string{1: "1111111111", item: "1111111111", 2*item - 1: "1111111111", 3 * item: "3331", 9 * item: "91", 10 * item: "A", 1 << 20: "A"} {
		var pages []byte
		next := 0
		for l := (index.Listing{Limit: 1000, Bytes: bytes}); ; {
			page, err := f.List(context.Background(), "default", l)
			if err != nil || page.Total != 10 {
				t.Fatalf("%+v, %v", page, err)
			}
			for _, it := range page.Items {
				if it.ID != fmt.Sprintf("%05d", next) {
					t.Errorf("%d bytes: %s instead of item %d", bytes, it.ID, next)
				}
				next++
			}
			pages = fmt.Appendf(pages, "%X", len(page.Items))
			if l.After = page.Next; page.Next == 0 {
				break
			}
		}
		if string(pages) != want {
			t.Errorf("pages of up to %d bytes have %s items, want %s", bytes, pages, want)
		}
	}
}

func parse(t *testing.T, text string) *filter.Filter {
	t.Helper()
	f, err := filter.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestGet(t *testing.T) {
	ctx := context.Background()
	f := made(t, 3)
	item, err := f.Get(ctx, "default", "00001")
	if want := around(1, 2)[0]; err != nil || item.ID != want.ID || !slices.Equal(item.Vector, want.Vector) || string(item.Metadata) != string(want.Metadata) {
		t.Errorf("%+v, %v", item, err)
	}
	put(t, f, "default", index.Item{ID: "bare", Vector: []float32{1, 1, 1}})
	_, unknown := f.Get(ctx, "default", "x")
	_, elsewhere := f.Get(ctx, "other", "00001")
	_, noImage := f.Thumbnail(ctx, "default", "bare")
	_, noItem := f.Thumbnail(ctx, "default", "x")
	for i, err := range []error{unknown, elsewhere, noImage, noItem} {
		if !errors.Is(err, index.ErrUnknown) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if f.Has("default", "x") || !f.Has("default", "bare") || f.Has("other", "bare") {
		t.Error("Has is wrong")
	}
}

// The percentile is the share of random pairs with a lower score.
func TestPercentile(t *testing.T) {
	few := made(t, 9)
	hits, err := few.Search(context.Background(), "default", index.Query{ID: "00001", K: 1})
	if err != nil || !math.IsNaN(hits[0][0].Percentile) {
		t.Errorf("%+v, %v: 9 items tell nothing", hits, err)
	}
	f := made(t, 20000) // on a quarter of a circle, where the angles of pairs have a triangular density
	angle := math.Pi / 4
	hits, err = f.Search(context.Background(), "default", index.Query{Vector: []float32{1, 0, 0}, K: 1000})
	if err != nil || hits[0][0].Percentile < 99.9 {
		t.Errorf("%+v, %v", hits[0][0], err)
	}
	least := float32(math.Cos(angle)) - 1e-4
	hits, err = f.Search(context.Background(), "default", index.Query{ID: "10000", K: 1, Least: &least, Filter: parse(t, `{"i": {"$lte": 1}}`)})
	if err != nil || len(hits[0]) != 1 || math.Abs(hits[0][0].Percentile-25) > 1 {
		t.Errorf("%+v, %v: 3 in 4 pairs are closer than half the angle", hits, err)
	}
}

// The memory of deleted or replaced rows is freed, and nothing is lost on the way.
func TestMemoryComesBack(t *testing.T) {
	f := made(t, 10000)
	first := f.Stats().Memory
	for round := range 4 {
		items := around(0, 10000)
		for i := range items {
			items[i].Vector[2] = float32(round) / 10
		}
		for part := range slices.Chunk(items, 1000) {
			put(t, f, "default", part...)
		}
	}
	if s := f.Stats(); s.Items != 10000 || float64(s.Memory) > 1.4*float64(first) {
		t.Errorf("%d items in %d bytes of memory, which were %d", s.Items, s.Memory, first)
	}
	if got := ids(t, f, index.Query{Vector: []float32{1, 1, 1}, K: 3, Filter: parse(t, `{"i": {"$in": [0, 777, 9999]}}`)}); !slices.Equal(got, []string{"09999", "00777", "00000"}) {
		t.Errorf("found %v", got)
	}
	for i := 100; i < 10000; i += 1000 {
		var all []string
		for k := range 900 {
			all = append(all, fmt.Sprintf("%05d", i+k))
		}
		if gone, err := f.Delete(context.Background(), "default", all...); err != nil || slices.Contains(gone, false) {
			t.Fatal(err)
		}
	}
	runtime.GC()
	if s := f.Stats(); s.Items != 1000 || float64(s.Memory) > 0.5*float64(first) {
		t.Errorf("%d items in %d bytes of memory, which were %d", s.Items, s.Memory, first)
	}
	if got := ids(t, f, index.Query{Vector: []float32{1, 0, 0}, K: 1000}); len(got) != 1000 || got[100] != "01000" {
		t.Errorf("%d hits, %v", len(got), got[100])
	}
}

func TestReplace(t *testing.T) {
	ctx := context.Background()
	f := made(t, 100)
	path := f.Path() + ".rebuild"
	other := index.Binding{Fingerprint: "model b", Dim: 2, Center: []float32{.5, .5}}
	next := open(t, path, index.Options{Binding: other, Create: true})
	for i, item := range around(0, 100) {
		angle := float64(i) / 60
		item.Vector = []float32{float32(math.Cos(angle) + .5), float32(math.Sin(angle) + .5)}
		put(t, next, "default", item)
	}
	if _, err := f.Delete(ctx, "default", "00003"); err != nil { // meanwhile
		t.Fatal(err)
	}
	if err := f.Replace(ctx, next); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is left: %v", path, err)
	}
	look := func(f *index.File) {
		t.Helper()
		if b := f.Binding(); !reflect.DeepEqual(b, other) || f.Len() != 100 || f.Has("default", "00003") {
			t.Errorf("%+v with %d items", b, f.Len())
		}
		if got := ids(t, f, index.Query{Vector: []float32{float32(math.Cos(50./60) + .5), float32(math.Sin(50./60) + .5)}, K: 1}); got[0] != "00050" {
			t.Errorf("found %v", got)
		}
	}
	put(t, f, "default", index.Item{ID: "new", Vector: []float32{-1, -1}})
	look(f)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	look(open(t, f.Path(), index.Options{Binding: other}))
}

func TestUpkeep(t *testing.T) {
	ctx := context.Background()
	f := made(t, 3000)
	copied := filepath.Join(t.TempDir(), "copy.index")
	if bad, err := index.Backup(ctx, f.Path(), copied, nil); err != nil || bad != nil {
		t.Fatal(bad, err)
	}
	if _, err := index.Backup(ctx, f.Path(), copied, nil); err == nil || !strings.Contains(err.Error(), copied) {
		t.Errorf("a backup over a file: %v", err)
	}
	if g := open(t, copied, index.Options{Binding: three}); g.Len() != 3000 {
		t.Errorf("%d items in the backup", g.Len())
	}
	for i := range 2900 {
		if _, err := f.Delete(ctx, "default", fmt.Sprintf("%05d", i)); err != nil {
			t.Fatal(err)
		}
	}
	before := f.Stats()
	if err := f.Compact(ctx); err != nil {
		t.Fatal(err)
	}
	sound(t, f.Path())
	if after := f.Stats(); after.Disk*2 > before.Disk || after.Items != 100 {
		t.Errorf("%+v, was %+v", after, before)
	}
	put(t, f, "default", around(0, 1)...)
}
