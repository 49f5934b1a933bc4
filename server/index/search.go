package index

import (
	"context"
	"errors"
	"fmt"
	"math"

	"vicreg/server/index/filter"
	"vicreg/server/index/store"
)

// Search implements Index. Metadata and sources are read after the search: an item that was
// stored again meanwhile has its new ones, and one that was deleted, or whose row is damaged, is
// omitted.
func (f *File) Search(ctx context.Context, namespace string, queries ...Query) ([][]Hit, error) {
	st, leave, err := f.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	s, probes, err := st.prepare(namespace, queries)
	if err != nil {
		return nil, err
	}
	rows, err := f.scan(ctx, s, queries, probes)
	if err != nil {
		return nil, err
	}
	return st.hits(ctx, namespace, s, queries, rows)
}

// scan waits for its share of the threads, and searches with them.
func (f *File) scan(ctx context.Context, s *snapshot, queries []Query, probes []*probe) ([][]found, error) {
	threads, free, err := f.threads.take(ctx, len(s.parts))
	if err != nil {
		return nil, err
	}
	defer free()
	return s.answer(ctx, queries, probes, threads)
}

// prepare makes probes of queries, all on the same snapshot of the namespace.
func (st *state) prepare(namespace string, queries []Query) (*snapshot, []*probe, error) {
	ids := make([]string, len(queries))
	for i, q := range queries {
		ids[i] = q.ID
	}
	for _, q := range queries {
		ids = append(ids, q.Without...)
	}
	s, places := st.collection(namespace).find(ids...)
	probes, rest := make([]*probe, len(queries)), places[len(queries):]
	for i, q := range queries {
		unit, err := st.unitOf(s, q, places[i])
		if bad := st.damage.of(namespace, q.ID); bad != nil && errors.Is(err, ErrUnknown) {
			err = bad
		}
		if err != nil {
			return nil, nil, &QueryError{i, err}
		}
		least := float32(math.Inf(-1))
		if q.Least != nil {
			least = *q.Least
		}
		probes[i] = newProbe(unit, q.K, least)
		if q.ID != "" {
			probes[i].self = places[i]
		}
		probes[i].leaveOut(rest[:len(q.Without)])
		rest = rest[len(q.Without):]
	}
	return s, probes, nil
}

// answer compiles each filter once, and searches.
func (s *snapshot) answer(ctx context.Context, queries []Query, probes []*probe, threads int) ([][]found, error) {
	matchers := map[*filter.Filter]*filter.Matcher{}
	for i, q := range queries {
		if q.Filter == nil {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if matchers[q.Filter] == nil {
			matchers[q.Filter] = q.Filter.Compile(s.view)
		}
		probes[i].match = matchers[q.Filter]
	}
	return s.search(ctx, probes, threads)
}

// unitOf returns the vector that a query searches by, of length 1.
func (st *state) unitOf(s *snapshot, q Query, at int64) ([]float32, error) {
	switch {
	case q.K < 1 || q.K > MaxK:
		return nil, fmt.Errorf("k is %d: want 1 to %d", q.K, MaxK)
	case q.Least != nil && *q.Least != *q.Least:
		return nil, errors.New("the lowest score is not a number")
	case q.ID == "":
		return st.binding.unit(q.Vector)
	case at == nowhere:
		return nil, fmt.Errorf("%w: %q", ErrUnknown, q.ID)
	}
	return s.vector(place(at)), nil
}

// hits completes rows with their metadata and percentiles.
func (st *state) hits(ctx context.Context, namespace string, s *snapshot, queries []Query, rows [][]found) ([][]Hit, error) {
	more, err := st.texts(ctx, namespace, s, queries, rows)
	if err != nil {
		return nil, err
	}
	all := make([][]Hit, len(rows))
	for i, found := range rows {
		all[i] = make([]Hit, 0, len(found))
		for _, r := range found {
			h := Hit{ID: r.id, Score: max(-1, min(1, r.score)), // rounding may exceed the range
				Percentile: s.pairs.percentile(r.score)}
			if !queries[i].Bare {
				row, is := more[s.key(r.place)]
				if !is {
					continue
				}
				h.Metadata, h.Source, h.Pictured = row.Metadata, row.Source, row.Pictured
			}
			all[i] = append(all[i], h)
		}
	}
	return all, nil
}

// texts reads, by key, the metadata and sources of the hits of queries that are not bare.
func (st *state) texts(ctx context.Context, namespace string, s *snapshot, queries []Query, rows [][]found) (map[int64]store.Row, error) {
	texts := map[int64]store.Row{}
	var keys, most []int64 // most is the limit in bytes up to each key
	var ids []string
	for i, found := range rows {
		for _, r := range found {
			key := s.key(r.place)
			if _, known := texts[key]; queries[i].Bare || known {
				continue
			}
			texts[key] = store.Row{}
			keys, most = append(keys, key), append(most, queries[i].Bytes)
			ids = append(ids, r.id)
		}
	}
	clear(texts)
	if len(keys) == 0 {
		return nil, nil
	}
	var size int64
	much := false
	err := st.db.Each(ctx, keys, false, func(i int, r *store.Row, bad *Damage) bool {
		if bad != nil {
			st.damage.find(Damage{Key: keys[i], Namespace: namespace, ID: ids[i], Reason: bad.Reason})
			return true
		}
		size += weight(r)
		much = most[i] > 0 && size > most[i]
		texts[keys[i]] = *r
		return !much
	})
	if err == nil && much {
		err = ErrMuch
	}
	return texts, err
}
