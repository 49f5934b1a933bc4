package server

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"vicreg/pipeline/stats"
	"vicreg/server/index"
)

// memory is a minimal index, for testing the server's side.
type memory struct {
	mu      sync.Mutex
	binding index.Binding
	fields  []string                // of all namespaces
	spaces  map[string][]index.Item // in order of first insertion
	fail    error                   // returned by every operation
	full    error                   // returned by every write
	calls   int                     // number of calls of Search
}

// indexed is a server with an empty index for its model.
func indexed(t testing.TB, change func(*Config)) (*Server, *memory) {
	t.Helper()
	s := start(t, func(c *Config) {
		c.MaxBatch = 1 // measuring batch sizes is most of what starting takes
		if change != nil {
			change(c)
		}
	})
	m := memoryFor(s)
	s.Items.SetIndex(m)
	return s, m
}

func memoryFor(s *Server) *memory {
	e := s.current()
	return &memory{binding: index.Binding{Fingerprint: e.Fingerprint(), Dim: e.Dim()}, spaces: map[string][]index.Item{}}
}

func (m *memory) Binding() index.Binding { return m.binding }

func (m *memory) Check(it index.Item) error {
	var object map[string]any
	if err := index.CheckID(it.ID); err != nil {
		return fmt.Errorf("the id %w", err)
	}
	switch norm := stats.Norm(it.Vector); {
	case len(it.Vector) != m.binding.Dim || norm == 0 || math.IsNaN(norm) || math.IsInf(norm, 0):
		return errors.New("the vector cannot be compared")
	case len(it.Metadata) > index.MaxMetadata:
		return errors.New("the metadata is too large")
	case len(it.Source) > index.MaxID:
		return errors.New("the source is too long")
	case it.Metadata != nil && json.Unmarshal(it.Metadata, &object) != nil:
		return errors.New("the metadata is no JSON object")
	case len(it.Thumbnail) > index.MaxThumbnail:
		return errors.New("the thumbnail is too large")
	}
	return nil
}

// err is the error of every operation, nil if it may proceed.
func (m *memory) err(ctx context.Context) error { return cmp.Or(ctx.Err(), m.fail) }

func (m *memory) Upsert(ctx context.Context, namespace string, items ...index.Item) (created []bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, it := range items {
		if err := m.Check(it); err != nil {
			return nil, &index.ItemError{Index: i, Err: err}
		}
	}
	if err := cmp.Or(m.err(ctx), m.full); err != nil {
		return nil, err
	}
	for _, it := range items {
		created = append(created, m.find(namespace, it.ID) < 0)
		if at := m.find(namespace, it.ID); at >= 0 {
			m.spaces[namespace][at] = it
		} else {
			m.spaces[namespace] = append(m.spaces[namespace], it)
		}
	}
	return created, nil
}

func (m *memory) find(namespace, id string) int {
	return slices.IndexFunc(m.spaces[namespace], func(it index.Item) bool { return it.ID == id })
}

func (m *memory) Delete(ctx context.Context, namespace string, ids ...string) (gone []bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := cmp.Or(m.err(ctx), m.full); err != nil {
		return nil, err
	}
	for _, id := range ids {
		at := m.find(namespace, id)
		if gone = append(gone, at >= 0); at >= 0 {
			m.spaces[namespace] = slices.Delete(m.spaces[namespace], at, at+1)
		}
	}
	return gone, nil
}

func (m *memory) Search(ctx context.Context, namespace string, queries ...index.Query) (all [][]index.Hit, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	if err := m.err(ctx); err != nil {
		return nil, err
	}
	for i, q := range queries {
		v := q.Vector
		if q.ID != "" {
			at := m.find(namespace, q.ID)
			if at < 0 {
				return nil, &index.QueryError{Index: i, Err: fmt.Errorf("%w: %q", index.ErrUnknown, q.ID)}
			}
			v = m.spaces[namespace][at].Vector
		} else if err := m.Check(index.Item{ID: "x", Vector: v}); err != nil {
			return nil, &index.QueryError{Index: i, Err: err}
		}
		hits := []index.Hit{}
		for _, it := range m.spaces[namespace] {
			h := index.Hit{ID: it.ID, Score: cosine(v, it.Vector), Percentile: math.NaN()}
			if !q.Bare {
				h.Metadata, h.Source, h.Pictured = it.Metadata, it.Source, len(it.Thumbnail) > 0
			}
			if (q.Vector != nil || it.ID != q.ID) && !slices.Contains(q.Without, it.ID) && fulfils(q.Filter.String(), it.Metadata) && (q.Least == nil || h.Score >= *q.Least) {
				hits = append(hits, h)
			}
		}
		slices.SortStableFunc(hits, func(a, b index.Hit) int { return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.ID, b.ID)) })
		all = append(all, hits[:min(q.K, len(hits))])
	}
	return all, nil
}

func cosine(a, b []float32) float32 {
	var dot float64
	for i := range a {
		dot += float64(a[i]) * float64(b[i])
	}
	return float32(dot / stats.Norm(a) / stats.Norm(b))
}

// fulfils supports filters that compare one field with a text.
func fulfils(filter string, metadata []byte) bool {
	return filter == "{}" || bytes.Contains(metadata, []byte(strings.Trim(filter, "{}")))
}

func (m *memory) Has(namespace, id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.find(namespace, id) >= 0
}

func (m *memory) Get(ctx context.Context, namespace, id string) (*index.Item, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := m.find(namespace, id)
	if at < 0 {
		return nil, index.ErrUnknown
	}
	it := m.spaces[namespace][at]
	it.Pictured, it.Thumbnail = it.Thumbnail != nil, nil
	return &it, m.err(ctx)
}

func (m *memory) Thumbnail(ctx context.Context, namespace, id string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := m.find(namespace, id)
	if at < 0 || m.spaces[namespace][at].Thumbnail == nil {
		return nil, index.ErrUnknown
	}
	return m.spaces[namespace][at].Thumbnail, m.err(ctx)
}

func (m *memory) List(ctx context.Context, namespace string, q index.Listing) (*index.Page, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	page, size := &index.Page{}, 0
	for i, it := range m.spaces[namespace] {
		if !fulfils(q.Filter.String(), it.Metadata) {
			continue
		}
		page.Total++
		if int64(i) < q.After {
			continue
		}
		if size += len(it.Metadata); page.Next == 0 && len(page.Items) < q.Limit && (q.Bytes == 0 || size <= int(q.Bytes) || len(page.Items) == 0) {
			page.Items = append(page.Items, it)
		} else if page.Next == 0 {
			page.Next = int64(i)
		}
	}
	return page, m.err(ctx)
}

func (m *memory) Namespaces() (all []index.NamespaceInfo) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(m.spaces)) {
		if n := len(m.spaces[name]); n > 0 {
			all = append(all, index.NamespaceInfo{Name: name, Items: n, Fields: m.fields})
		}
	}
	return all
}

func (m *memory) Fields(namespace string) (fields []string, there bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.fields, len(m.spaces[namespace]) > 0
}

func (m *memory) Names(most int) (names []string) {
	for _, n := range m.Namespaces() {
		names = append(names, n.Name)
	}
	if len(names) > most {
		return nil
	}
	return names
}

func (m *memory) Stats() index.Stats {
	return index.Stats{Items: m.Len(), Namespaces: len(m.Namespaces())}
}

func (m *memory) Len() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, items := range m.spaces {
		n += len(items)
	}
	return n
}
