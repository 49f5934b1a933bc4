package indextest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"vicreg/server/index"
	"vicreg/server/index/filter"
)

// Conformance tests an implementation of index.Index. open returns an empty index with the given
// binding.
func Conformance(t *testing.T, open func(t *testing.T, b index.Binding) index.Index) {
	const dim = 24
	center := make([]float32, dim)
	for i := range center {
		center[i] = float32(i) / dim
	}
	for name, b := range map[string]index.Binding{
		"cosine":          {Fingerprint: "f", Dim: dim},
		"centered-cosine": {Fingerprint: "f", Dim: dim, Center: center},
	} {
		t.Run(name, func(t *testing.T) {
			t.Run("as the naive one", func(t *testing.T) { agrees(t, open(t, b), NewNaive(b), b) })
			t.Run("replaced and deleted", func(t *testing.T) { replaces(t, open(t, b), b) })
			t.Run("all or nothing", func(t *testing.T) { refuses(t, open(t, b), b) })
			t.Run("at once", func(t *testing.T) { atOnce(t, open(t, b), b) })
		})
	}
}

// maker generates distinguishable items, the same in every run.
type maker struct {
	*rand.Rand
	index.Binding
}

func newMaker(b index.Binding) *maker { return &maker{rand.New(rand.NewPCG(7, 9)), b} }

// vector returns a vector near one of a few directions, as those of images are.
func (m *maker) vector() []float32 {
	v := make([]float32, m.Dim)
	kind := m.IntN(8)
	for i := range v {
		v[i] = float32(math.Abs(math.Sin(float64(i*(kind+1)))) + 0.3*m.NormFloat64())
	}
	return v
}

func (m *maker) item(id int) index.Item {
	metadata := fmt.Appendf(nil, `{"n": %d, "kind": "k%d", "tags": ["a%d", "b%d"], "even": %t}`, id, m.IntN(5), m.IntN(3), m.IntN(3), id%2 == 0)
	return index.Item{ID: fmt.Sprint("item ", id), Vector: m.vector(), Metadata: metadata, Source: fmt.Sprint("/photos/", id)}
}

func (m *maker) query(ids int) index.Query {
	q := index.Query{K: []int{1, 10, 100, index.MaxK}[m.IntN(4)]}
	if m.IntN(3) == 0 {
		q.ID = fmt.Sprint("item ", m.IntN(ids))
	} else {
		q.Vector = m.vector()
	}
	if m.IntN(4) == 0 {
		for range 1 + m.IntN(20) {
			q.Without = append(q.Without, fmt.Sprint("item ", m.IntN(2*ids))) // some do not exist
		}
	}
	if m.IntN(4) == 0 {
		least := float32(m.Float64())
		q.Least = &least
	}
	if filters := []string{"", `{}`, `{"kind": "k1"}`, `{"n": {"$lt": 40}}`, `{"tags": "a2", "even": true}`, `{"$not": {"kind": {"$in": ["k0", "k3"]}}}`, `{"none": 1}`}; m.IntN(2) == 0 {
		if text := filters[m.IntN(len(filters))]; text != "" {
			q.Filter = must(filter.Parse([]byte(text)))
		}
	}
	return q
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// agrees applies the same calls to an index and the naive one, and compares the results.
func agrees(t *testing.T, x, naive index.Index, b index.Binding) {
	const ids = 5000
	ctx, m := context.Background(), newMaker(b)
	both := func(do func(index.Index) (any, error)) {
		t.Helper()
		got, err := do(x)
		want, failed := do(naive)
		if (err == nil) != (failed == nil) || errors.Is(err, index.ErrUnknown) != errors.Is(failed, index.ErrUnknown) {
			t.Fatalf("error %v, want %v", err, failed)
		}
		if hits, are := got.([][]index.Hit); are && err == nil {
			same(t, hits, want.([][]index.Hit))
		} else if err == nil && !slices.Equal(got.([]bool), want.([]bool)) {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
	for round := range 16 {
		items := make([]index.Item, 1+m.IntN(900))
		for i := range items {
			items[i] = m.item(m.IntN(ids))
		}
		both(func(x index.Index) (any, error) { return x.Upsert(ctx, "a", items...) })
		gone := make([]string, m.IntN(400))
		for i := range gone {
			gone[i] = fmt.Sprint("item ", m.IntN(ids))
		}
		both(func(x index.Index) (any, error) { return x.Delete(ctx, "a", gone...) })
		queries := make([]index.Query, 1+m.IntN(4))
		for i := range queries {
			queries[i] = m.query(ids)
		}
		both(func(x index.Index) (any, error) { return x.Search(ctx, "a", queries...) })
		for _, q := range queries {
			both(func(x index.Index) (any, error) { return x.Search(ctx, []string{"a", "a", "b"}[round%3], q) })
		}
	}
}

// near is the error in a score that float32 rounding may cause.
const near = 2e-6

// same compares hits; hits with nearly equal scores may have swapped places.
func same(t *testing.T, got, want [][]index.Hit) {
	t.Helper()
	for i := range want {
		if len(got[i]) != len(want[i]) {
			if n := min(len(got[i]), len(want[i])); len(got[i]) > n+1 || len(want[i]) > n+1 { // they may differ by one hit at the lowest score
				t.Fatalf("query %d: %d hits, want %d", i, len(got[i]), len(want[i]))
			}
		}
		for k := range min(len(got[i]), len(want[i])) {
			g, w := got[i][k], want[i][k]
			if math.Abs(float64(g.Score-w.Score)) > near {
				t.Fatalf("query %d, hit %d: score %v of %q, want %v of %q", i, k, g.Score, g.ID, w.Score, w.ID)
			}
			if at := slices.IndexFunc(want[i], func(w index.Hit) bool { return w.ID == g.ID }); at < 0 {
				if k < len(want[i])-1 && math.Abs(float64(g.Score-want[i][len(want[i])-1].Score)) > near {
					t.Fatalf("query %d, hit %d: %q is no hit", i, k, g.ID)
				}
			} else if w := want[i][at]; string(g.Metadata) != string(w.Metadata) || g.Source != w.Source || math.Abs(float64(g.Score-w.Score)) > near {
				t.Fatalf("query %d, hit %d: %+v, want %+v", i, k, g, w)
			}
		}
		if !slices.IsSortedFunc(got[i], func(a, b index.Hit) int {
			if a.Score != b.Score {
				return int(math.Copysign(1, float64(b.Score-a.Score)))
			}
			return map[bool]int{true: -1, false: 1}[a.ID < b.ID]
		}) {
			t.Fatalf("query %d: hits are not in order", i)
		}
	}
}

// replaces stores, replaces and deletes one item.
func replaces(t *testing.T, x index.Index, b index.Binding) {
	ctx, m := context.Background(), newMaker(b)
	first, second := m.item(1), m.item(1)
	second.Metadata = json.RawMessage(`{"now": true}`)
	check := func(want ...index.Item) {
		t.Helper()
		hits, err := x.Search(ctx, "a", index.Query{Vector: second.Vector, K: 10})
		if err != nil || len(hits[0]) != len(want) {
			t.Fatalf("%v, %v: want %d hits", hits, err, len(want))
		}
		for i, w := range want {
			if h := hits[0][i]; h.ID != w.ID || string(h.Metadata) != string(w.Metadata) {
				t.Errorf("hit %d is %q %s, want %q %s", i, h.ID, h.Metadata, w.ID, w.Metadata)
			}
		}
	}
	check()
	if _, err := x.Upsert(ctx, "a", first); err != nil {
		t.Fatal(err)
	}
	check(first)
	if _, err := x.Upsert(ctx, "a", m.item(1), first, second); err != nil { // of equal ids the last counts
		t.Fatal(err)
	}
	check(second)
	if hits, err := x.Search(ctx, "a", index.Query{ID: second.ID, K: 10}); err != nil || len(hits[0]) != 0 {
		t.Errorf("an item finds itself: %v %v", hits, err)
	}
	if hits, err := x.Search(ctx, "a", index.Query{Vector: second.Vector, K: 1, Bare: true}); err != nil || hits[0][0].Metadata != nil || hits[0][0].Source != "" || hits[0][0].Score < 1-near {
		t.Errorf("a bare hit: %+v %v", hits, err)
	}
	size := int64(len(second.ID) + len(second.Metadata) + len(second.Source))
	twice := func(q index.Query) []index.Query { return []index.Query{q, q} } // their hits count only once
	if hits, err := x.Search(ctx, "a", twice(index.Query{Vector: second.Vector, K: 1, Bytes: size})...); err != nil || len(hits[1]) != 1 {
		t.Errorf("hits with as much metadata as is wanted: %v %v", hits, err)
	}
	if hits, err := x.Search(ctx, "a", twice(index.Query{Vector: second.Vector, K: 1, Bytes: size - 1})...); !errors.Is(err, index.ErrMuch) {
		t.Errorf("hits with more metadata than is wanted: %v %v", hits, err)
	}
	if hits, err := x.Search(ctx, "a", twice(index.Query{Vector: second.Vector, K: 1, Bytes: 1, Bare: true})...); err != nil || len(hits[1]) != 1 {
		t.Errorf("bare hits: %v %v", hits, err)
	}
	for i, want := range [][]bool{{true, false, false}, {false, false, false}} {
		if gone, err := x.Delete(ctx, "a", second.ID, "other", second.ID); err != nil || !slices.Equal(gone, want) {
			t.Errorf("delete %d: %v %v, want %v", i, gone, err, want)
		}
	}
	check()
	if _, err := x.Upsert(ctx, "a", first); err != nil {
		t.Fatal(err)
	}
	check(first)
}

// refuses makes calls that fail: nothing of them takes effect.
func refuses(t *testing.T, x index.Index, b index.Binding) {
	ctx, m := context.Background(), newMaker(b)
	good, bad := m.item(1), m.item(2)
	bad.Vector = bad.Vector[1:]
	_, err := x.Upsert(ctx, "a", good, bad)
	var item *index.ItemError
	if !errors.As(err, &item) || item.Index != 1 {
		t.Errorf("a vector that is too short: %v", err)
	}
	if hits, err := x.Search(ctx, "a", index.Query{Vector: good.Vector, K: 1}); err != nil || len(hits[0]) > 0 {
		t.Errorf("%v %v: the good item of a call that failed is there", hits, err)
	}
	_, err = x.Search(ctx, "a", index.Query{Vector: good.Vector, K: 1}, index.Query{ID: good.ID, K: 1})
	var query *index.QueryError
	if !errors.As(err, &query) || query.Index != 1 || !errors.Is(err, index.ErrUnknown) {
		t.Errorf("an unknown id: %v", err)
	}
}

// atOnce writes and searches concurrently: each goroutine finds what it has written, whatever the
// others do.
func atOnce(t *testing.T, x index.Index, b index.Binding) {
	var wait sync.WaitGroup
	for g := range 8 {
		wait.Go(func() {
			ctx, m := context.Background(), &maker{rand.New(rand.NewPCG(uint64(g), 1)), b}
			for i := range 30 {
				id := 1000*g + m.IntN(20)
				item := m.item(id)
				if _, err := x.Upsert(ctx, "a", item); err != nil {
					t.Error(err)
					return
				}
				hits, err := x.Search(ctx, "a", index.Query{Vector: item.Vector, K: 1})
				if err != nil || len(hits[0]) != 1 || hits[0][0].ID != item.ID {
					t.Errorf("round %d: %v, %v: want %s", i, hits, err, item.ID)
					return
				}
				if i%3 > 0 {
					continue
				}
				if gone, err := x.Delete(ctx, "a", item.ID); err != nil || !gone[0] {
					t.Errorf("round %d: delete: %v %v", i, gone, err)
				}
				if hits, err = x.Search(ctx, "a", index.Query{Vector: item.Vector, K: 1}); err != nil || len(hits[0]) > 0 && hits[0][0].ID == item.ID {
					t.Errorf("round %d: %v, %v: %s is deleted", i, hits, err, item.ID)
				}
			}
		})
	}
	wait.Wait()
}
