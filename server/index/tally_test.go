package index

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
)

// counted is what Stats should report, from visiting everything.
func counted(st *state) (s Stats) {
	for _, name := range st.sorted() {
		now := st.collection(name).snapshot()
		s.Namespaces++
		s.Items += now.items
		s.Memory += now.vocabulary + perPlace*int64(now.items)
		for _, p := range now.parts {
			if p.segment == nil {
				continue
			}
			s.Memory += int64(len(p.keys)*(5*now.dim+32)+8*len(p.live)) + p.page.Size()
			for _, id := range p.ids[:p.n] {
				s.Memory += int64(len(id))
			}
			if k := p.sketches.Load(); k != nil {
				s.Memory += k.Bytes()
			}
		}
	}
	return s
}

func wantCounted(t *testing.T, when string, f *File) {
	t.Helper()
	got, want := f.Stats(), counted(f.current())
	if got.Items != want.Items || got.Namespaces != want.Namespaces || got.Memory != want.Memory || f.Len() != want.Items {
		t.Errorf("%s: counted are %+v, there are %+v", when, got, want)
	}
}

// The counts agree with what is there after all that can change it.
func TestTally(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	const dim = 256
	made := func(name string) *File {
		t.Helper()
		f, err := Open(ctx, filepath.Join(dir, name), Options{Create: true, Binding: Binding{Fingerprint: "f", Dim: dim}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	r, era := rand.New(rand.NewPCG(3, 4)), 0 // each era has fields of its own
	item := func(id int) Item {
		v := make([]float32, dim)
		v[r.IntN(3)], v[3] = 1, r.Float32()
		return Item{ID: strings.Repeat("x", id%7) + fmt.Sprint(id), Vector: v, Metadata: fmt.Appendf(nil, `{"text": "%d", "f%d": 1}`, r.IntN(1e6), era)}
	}
	put := func(f *File, namespace string, n, of int) {
		t.Helper()
		var items []Item
		era++
		for range n {
			items = append(items, item(r.IntN(of)))
		}
		if _, err := f.Upsert(ctx, namespace, items...); err != nil {
			t.Fatal(err)
		}
	}
	f := made("f")
	wantCounted(t, "empty", f)
	for n := range 60 {
		namespace := fmt.Sprint(r.IntN(8))
		put(f, namespace, 1+r.IntN(400), 1000)
		if n%3 == 0 {
			if _, err := f.Delete(ctx, namespace, f.current().collection(namespace).ids()...); err != nil {
				t.Fatal(err)
			}
		}
		wantCounted(t, fmt.Sprint("change ", n), f)
	}
	for range 15 { // full parts, some of which are vacated
		put(f, "large", 2000, 10_000)
	}
	wantCounted(t, "large", f)
	f.current().collection("large").renew()
	wantCounted(t, "renewed", f)
	before := f.Stats().Memory
	if err := f.Sketch(ctx); err != nil {
		t.Fatal(err)
	}
	if f.Stats().Memory == before {
		t.Error("there are no sketches")
	}
	wantCounted(t, "sketched", f)
	bad := append([]Item{item(5)}, Item{ID: "y", Vector: make([]float32, dim)})
	if _, err := f.Upsert(ctx, "new", bad...); err == nil {
		t.Error("a zero vector was stored")
	}
	wantCounted(t, "after an error", f)
	if err := f.Compact(ctx); err != nil {
		t.Fatal(err)
	}
	next := made("next")
	for _, ns := range f.Namespaces() {
		put(next, ns.Name, 500, 1000)
	}
	if err := f.Replace(ctx, next); err != nil {
		t.Fatal(err)
	}
	wantCounted(t, "replaced", f)
	put(f, "large", 10, 1000)
	wantCounted(t, "replaced and changed", f)
	was := f.Stats()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if f = made("f"); f.Stats().Items != was.Items || f.Stats().Namespaces != was.Namespaces {
		t.Errorf("%+v, and %+v once opened again", was, f.Stats())
	}
	wantCounted(t, "opened", f)
}

// Texts in the metadata are counted, each distinct one once.
func TestMemoryOfMetadata(t *testing.T) {
	ctx := context.Background()
	f, err := Open(ctx, filepath.Join(t.TempDir(), "x.index"), Options{Create: true, Binding: Binding{Fingerprint: "f", Dim: 4}})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const items, size = 500, 4000
	put := func(text func(i int) string) int64 {
		t.Helper()
		var all []Item
		for i := range items {
			all = append(all, Item{ID: fmt.Sprint(i), Vector: []float32{1, 2, 3, 4}, Metadata: fmt.Appendf(nil, `{"text": "%*s"}`, size, text(i))})
		}
		if _, err := f.Upsert(ctx, "default", all...); err != nil {
			t.Fatal(err)
		}
		return f.Stats().Memory
	}
	same := put(func(int) string { return "same" })
	if distinct := put(func(i int) string { return fmt.Sprint(i) }); same > items*300 || distinct < same+items*size || distinct > same+items*(size+300) {
		t.Errorf("%d bytes with one text, %d with %d", same, distinct, items)
	}
}
