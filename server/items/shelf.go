// Package items puts an index on HTTP: /similar, /items and /namespaces. It keeps the
// index in service, puts another in its place, and has a file made anew for a model whose
// vectors are others. What a request looks like is its own; who may ask is the server's.
package items

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
	"vicreg/server/engine"
	"vicreg/server/index"
	"vicreg/server/problem"
	"vicreg/server/request"
)

// Index is what the routes need of an index; index.File has it.
type Index interface {
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

// Model is what the routes need of the model in service; engine.Engine has it.
type Model interface {
	Fingerprint() string
	Dim() int
	Metadata() *encoder.Metadata
	Embed(ctx context.Context, images []request.Image, pictured bool) (*engine.Result, error)
}

// Host is what a server does for the routes.
type Host struct {
	Spent func(c echo.Context, t engine.Spans, search time.Duration) // tells where the time of a request went, before its answer
	Kept  func(c echo.Context, kind string, file []byte) error       // answers with a file that clients may keep
	Use   func() (done func(), err error)                            // keeps the model in service open
}

// Config says how requests are taken. Every field must be set.
type Config struct {
	MaxItems int            // images, items or queries of a request
	MaxBody  int64          // bytes of a request, of an image file, and of the metadata in an answer
	Limits   imaging.Limits // of an image; a rebuild takes TIFF, too
	Deadline time.Duration  // for the images that a rebuild has embedded at once
}

// Shelf is the index in service, with its routes. It may be used by many goroutines.
type Shelf struct {
	config  Config
	log     *slog.Logger
	host    Host
	writes  *writes
	keeper  *keeper                // of the index file, nil for none
	retries *prometheus.CounterVec // of rebuilds, by reason

	mu      sync.RWMutex // to be at the index, and to put another in its place
	index   Index        // nil for none
	rebuild func() (done, total int)
	failed  error // of the last rebuild, nil when another has begun
}

// New is a shelf without an index. What there is to count goes to a registry of
// Prometheus.
func New(config Config, log *slog.Logger, host Host, to prometheus.Registerer) *Shelf {
	s := &Shelf{config: config, log: log, host: host, writes: newWrites(to)}
	s.count(to)
	return s
}

// SetIndex puts an index into service in place of the one before; nil for none. It may
// be called at any time. On return no request uses the one before any more. Closing
// them is the caller's.
func (s *Shelf) SetIndex(next Index) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index = next
}

// SetRebuild tells those who cannot search that the index is being made anew for the
// model in service, and how far that has come; nil when it is over.
func (s *Shelf) SetRebuild(progress func() (done, total int)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rebuild, s.failed = progress, nil
}

// fail tells those who cannot search why the rebuild has ended.
func (s *Shelf) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = err
}

// at lets a request do something short at the index, which stays in service meanwhile.
func (s *Shelf) at(do func(Index) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.index == nil && s.keeper != nil {
		return problem.LoadingIndex
	}
	if s.index == nil {
		return problem.Errorf(problem.NoIndex, "the server has no index: start it with --index FILE")
	}
	return do(s.index)
}

// among is at for what needs an index whose vectors are the model's.
func (s *Shelf) among(m Model, do func(Index) error) error {
	return s.at(func(items Index) error {
		if err := s.fits(m, items); err != nil {
			return err
		}
		return do(items)
	})
}

// Searchable says whether the model's vectors can be looked for, and stored, now.
func (s *Shelf) Searchable(m Model) error {
	return s.among(m, func(Index) error { return nil })
}

// binding is what the vectors have in common among which the model's can be looked for.
func (s *Shelf) binding(m Model) (of index.Binding, err error) {
	err = s.among(m, func(items Index) error {
		of = items.Binding()
		return nil
	})
	return of, err
}

// fits is for whoever holds the lock. While the index is made anew it fits no one: what a
// request that began with the model before would store now, the new index would not have.
func (s *Shelf) fits(m Model, items Index) error {
	of := items.Binding().Fingerprint
	detail := fmt.Sprintf("the index has vectors of the model %s, in service is %s", of, m.Fingerprint())
	switch {
	case s.rebuild != nil:
		done, total := s.rebuild()
		detail += fmt.Sprintf(": it is being rebuilt, %d of %d items are done", done, total)
	case of == m.Fingerprint():
		return nil
	case s.failed != nil:
		detail += fmt.Sprintf(": it cannot be rebuilt: %v", s.failed)
	}
	return &problem.Error{Code: problem.Mismatch, Detail: detail}
}

// Describe is the index as GET /info has it, nil for none.
func (s *Shelf) Describe(m Model) any {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.index == nil {
		return nil
	}
	of := s.index.Binding()
	about := map[string]any{"items": s.index.Len(), "namespaces": len(s.index.Namespaces()), "fingerprint": of.Fingerprint,
		"similarity": of.Similarity(), "state": s.state(m), "progress": nil}
	if s.state(m) == rebuilding {
		done, total := s.rebuild()
		about["progress"] = map[string]int{"done": done, "total": total}
	}
	return about
}

// What an index is for a model.
const (
	none       = "none"
	ready      = "ready"      // its vectors are the model's
	stale      = "stale"      // they are another's: there is no search
	rebuilding = "rebuilding" // the model's are being made
)

// States are all that State may say.
var States = []string{none, ready, stale, rebuilding}

// State is what the index is for a model, one of States.
func (s *Shelf) State(m Model) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.index == nil {
		return none
	}
	return s.state(m)
}

// state is State for whoever holds the lock and has an index.
func (s *Shelf) state(m Model) string {
	switch {
	case s.index.Binding().Fingerprint == m.Fingerprint():
		return ready
	case s.rebuild == nil:
		return stale
	}
	return rebuilding
}
