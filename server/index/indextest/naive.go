// Package indextest tests implementations of index.Index. Only tests import it.
package indextest

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"sync"

	"vicreg/server/index"
)

// Naive is an index that keeps items in a map and compares all of them in float64.
type Naive struct {
	binding index.Binding
	mu      sync.Mutex
	items   map[string]map[string]index.Item
}

// NewNaive returns an empty index for the vectors of a model.
func NewNaive(b index.Binding) *Naive {
	return &Naive{binding: b, items: map[string]map[string]index.Item{}}
}

func (n *Naive) Upsert(_ context.Context, namespace string, items ...index.Item) (created []bool, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, item := range items {
		if len(item.Vector) != n.binding.Dim {
			return nil, &index.ItemError{Index: i, Err: fmt.Errorf("%d numbers", len(item.Vector))}
		}
	}
	if n.items[namespace] == nil {
		n.items[namespace] = map[string]index.Item{}
	}
	for _, item := range items {
		_, known := n.items[namespace][item.ID]
		created = append(created, !known)
		item.Vector, item.Metadata = slices.Clone(item.Vector), slices.Clone(item.Metadata)
		n.items[namespace][item.ID] = item
	}
	return created, nil
}

func (n *Naive) Delete(_ context.Context, namespace string, ids ...string) ([]bool, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	gone := make([]bool, len(ids))
	for i, id := range ids {
		_, gone[i] = n.items[namespace][id]
		delete(n.items[namespace], id)
	}
	return gone, nil
}

func (n *Naive) Search(_ context.Context, namespace string, queries ...index.Query) ([][]index.Hit, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make([][]index.Hit, len(queries))
	for i, q := range queries {
		if q.ID != "" {
			item, known := n.items[namespace][q.ID]
			if !known {
				return nil, &index.QueryError{Index: i, Err: index.ErrUnknown}
			}
			q.Vector = item.Vector
		}
		all[i] = n.answer(n.items[namespace], q)
	}
	seen, size := map[string]bool{}, int64(0)
	for i, q := range queries {
		for _, h := range all[i] {
			if !q.Bare && !seen[h.ID] {
				seen[h.ID] = true
				if size += int64(len(h.ID) + len(h.Metadata) + len(h.Source)); q.Bytes > 0 && size > q.Bytes {
					return nil, index.ErrMuch
				}
			}
		}
	}
	return all, nil
}

func (n *Naive) answer(items map[string]index.Item, q index.Query) []index.Hit {
	hits := []index.Hit{}
	for id, item := range items {
		score := float32(n.similarity(q.Vector, item.Vector))
		if id == q.ID || slices.Contains(q.Without, id) || q.Least != nil && score < *q.Least || q.Filter != nil && !q.Filter.Holds(item.Metadata) {
			continue
		}
		h := index.Hit{ID: id, Score: score}
		if !q.Bare {
			h.Metadata, h.Source = item.Metadata, item.Source
		}
		hits = append(hits, h)
	}
	slices.SortFunc(hits, func(a, b index.Hit) int { return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.ID, b.ID)) })
	return hits[:min(q.K, len(hits))]
}

func (n *Naive) similarity(a, b []float32) float64 {
	var ab, aa, bb float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		if n.binding.Center != nil {
			x, y = x-float64(n.binding.Center[i]), y-float64(n.binding.Center[i])
		}
		ab, aa, bb = ab+x*y, aa+x*x, bb+y*y
	}
	return ab / math.Sqrt(aa*bb)
}

var _ index.Index = (*Naive)(nil)
