package server

import (
	"context"
	"fmt"
	"sync"

	"vicreg/server/index"
	"vicreg/server/problem"
)

// Items is what the server needs of an index; index.File has it.
type Items interface {
	index.Index
	Binding() index.Binding
	Check(item index.Item) error // what Upsert would refuse
	Has(namespace, id string) bool
	Get(ctx context.Context, namespace, id string) (*index.Item, error)
	Thumbnail(ctx context.Context, namespace, id string) ([]byte, error)
	List(ctx context.Context, namespace string, q index.Listing) (*index.Page, error)
	Namespaces() []index.NamespaceInfo
	Len() int
}

// shelf is where the index in service is.
type shelf struct {
	mu      sync.RWMutex // to be at the index, and to put another in its place
	index   Items        // nil for none
	rebuild func() (done, total int)
	failed  error // of the last rebuild, nil when another has begun
}

// SetIndex puts an index into service in place of the one before; nil for none. It may
// be called at any time. On return no request uses the one before any more. Closing
// them is the caller's.
func (s *Server) SetIndex(items Items) {
	s.shelf.mu.Lock()
	defer s.shelf.mu.Unlock()
	s.shelf.index = items
}

// SetRebuild tells those who cannot search that the index is being made anew for the
// model in service, and how far that has come; nil when it is over.
func (s *Server) SetRebuild(progress func() (done, total int)) {
	s.shelf.mu.Lock()
	defer s.shelf.mu.Unlock()
	s.shelf.rebuild, s.shelf.failed = progress, nil
}

// fail tells those who cannot search why the rebuild has ended.
func (k *shelf) fail(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.failed = err
}

// at lets a request do something short at the index, which stays in service meanwhile.
func (s *Server) at(do func(Items) error) error {
	s.shelf.mu.RLock()
	defer s.shelf.mu.RUnlock()
	if s.shelf.index == nil {
		return problem.Errorf(problem.NoIndex, "the server has no index: start it with --index FILE")
	}
	return do(s.shelf.index)
}

// among is at for what needs an index whose vectors are the engine's.
func (s *Server) among(e embedder, do func(Items) error) error {
	return s.at(func(items Items) error {
		if err := s.shelf.fits(e, items); err != nil {
			return err
		}
		return do(items)
	})
}

// searchable says whether the engine's vectors can be looked for, and stored, now.
func (s *Server) searchable(e embedder) error {
	return s.among(e, func(Items) error { return nil })
}

// fits is for whoever holds the lock. While the index is made anew it fits no one: what a
// request that began with the model before would store now, the new index would not have.
func (k *shelf) fits(e embedder, items Items) error {
	of := items.Binding().Fingerprint
	detail := fmt.Sprintf("the index has vectors of the model %s, in service is %s", of, e.Fingerprint())
	switch {
	case k.rebuild != nil:
		done, total := k.rebuild()
		detail += fmt.Sprintf(": it is being rebuilt, %d of %d items are done", done, total)
	case of == e.Fingerprint():
		return nil
	case k.failed != nil:
		detail += fmt.Sprintf(": it cannot be rebuilt: %v", k.failed)
	}
	return &problem.Error{Code: problem.Mismatch, Detail: detail}
}

// items is how many there are, for the metrics.
func (k *shelf) items() float64 {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.index == nil {
		return 0
	}
	return float64(k.index.Len())
}

// describe is the index as GET /info has it, nil for none.
func (k *shelf) describe(e embedder) any {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.index == nil {
		return nil
	}
	of := k.index.Binding()
	about := map[string]any{"items": k.index.Len(), "namespaces": len(k.index.Namespaces()), "fingerprint": of.Fingerprint,
		"similarity": of.Similarity(), "state": "ready", "progress": nil}
	switch {
	case of.Fingerprint == e.Fingerprint():
	case k.rebuild == nil:
		about["state"] = "stale"
	default:
		done, total := k.rebuild()
		about["state"], about["progress"] = "rebuilding", map[string]int{"done": done, "total": total}
	}
	return about
}
