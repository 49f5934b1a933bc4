// Package items serves an index over HTTP: /similar, /items and /namespaces. It holds the index in
// service, replaces it with another, and has its file rebuilt for a model with different vectors.
// It defines the format of the requests; access control is the server's job.
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

// Index is what the routes need of an index; index.File implements it.
type Index interface {
	index.Index
	index.Directory
	Binding() index.Binding
	Check(item index.Item) error // the error with which Upsert would reject the item
	Has(namespace, id string) bool
	Get(ctx context.Context, namespace, id string) (*index.Item, error)
	Thumbnail(ctx context.Context, namespace, id string) ([]byte, error)
	List(ctx context.Context, namespace string, q index.Listing) (*index.Page, error)
	Namespaces() []index.NamespaceInfo
	Stats() index.Stats // must be quick
}

// Model is what the routes need of the model in service; engine.Engine implements it.
type Model interface {
	Fingerprint() string
	Dim() int
	Metadata() *encoder.Metadata
	Embed(ctx context.Context, images []request.Image, pictured bool) (*engine.Result, error)
}

// Host is what the server provides to the routes.
type Host struct {
	Spent func(c echo.Context, t engine.Spans, search time.Duration) // reports a request's timings, before its answer
	Kept  func(c echo.Context, kind string, file []byte) error       // answers with a file that clients may cache
	Use   func() (done func(), err error)                            // keeps the model in service open until done is called
}

// Config says how requests are handled. Every field must be set.
type Config struct {
	MaxItems int            // maximum images, items or queries per request
	MaxBody  int64          // maximum bytes of a request, of an image file, and of the metadata in an answer
	Limits   imaging.Limits // limits of an image; a rebuild also accepts TIFF
	Deadline time.Duration  // for the images that a rebuild embeds in one go
}

// Shelf is the index in service, with its routes. It is safe for concurrent use.
type Shelf struct {
	config  Config
	log     *slog.Logger
	host    Host
	writes  *writes
	moves   *checkpoints
	keeper  *keeper                // owner of the index file, nil if none
	retries *prometheus.CounterVec // of rebuilds, by reason

	mu      sync.RWMutex // read-locked while using the index, locked to replace it
	index   Index        // nil for none
	rebuild func() (done, total int)
	failed  error // the last rebuild's error, nil once another has begun
}

// New returns a shelf without an index and registers its metrics.
func New(config Config, log *slog.Logger, host Host, to prometheus.Registerer) *Shelf {
	s := &Shelf{config: config, log: log, host: host, writes: newWrites(to), moves: newCheckpoints(log, to)}
	s.count(to)
	return s
}

// SetIndex puts an index into service in place of the previous one; nil for none. It may be called
// at any time. When it returns, no request uses the previous index any more. Closing the indexes is
// up to the caller.
func (s *Shelf) SetIndex(next Index) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index = next
}

// SetRebuild makes requests that cannot search report that the index is being rebuilt for the model
// in service, and how far along it is. Pass nil when the rebuild is over.
func (s *Shelf) SetRebuild(progress func() (done, total int)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rebuild, s.failed = progress, nil
}

// fail makes requests that cannot search report why the rebuild ended.
func (s *Shelf) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = err
}

// at calls do with the index, which stays in service meanwhile; do must be short.
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

// among is at for operations that need the index to hold vectors of the model m.
func (s *Shelf) among(m Model, do func(Index) error) error {
	return s.at(func(items Index) error {
		if err := s.fits(m, items); err != nil {
			return err
		}
		return do(items)
	})
}

// Searchable reports whether the model's vectors can be searched and stored now.
func (s *Shelf) Searchable(m Model) error {
	return s.among(m, func(Index) error { return nil })
}

// binding returns the index's binding, provided that it fits the model.
func (s *Shelf) binding(m Model) (of index.Binding, err error) {
	err = s.among(m, func(items Index) error {
		of = items.Binding()
		return nil
	})
	return of, err
}

// fits requires the lock. While the index is being rebuilt it fits no model: an item stored now, by
// a request that began with the previous model, would be missing from the new index.
func (s *Shelf) fits(m Model, items Index) error {
	of := items.Binding().Fingerprint
	detail := fmt.Sprintf("the index has vectors of model %s, but the current model is %s", of, m.Fingerprint())
	switch {
	case s.rebuild != nil:
		done, total := s.rebuild()
		detail += fmt.Sprintf(": it is being rebuilt, %d of %d items done", done, total)
	case of == m.Fingerprint():
		return nil
	case s.failed != nil:
		detail += fmt.Sprintf(": it cannot be rebuilt: %v", s.failed)
	case s.keeper != nil && s.keeper.rebuild:
		detail += ": its rebuild is about to begin"
	default:
		detail += ": put that model back, start the server with --rebuild, or stop it and run vicreg index rebuild FILE --model FILE"
	}
	return &problem.Error{Code: problem.Mismatch, Detail: detail}
}

// Describe is the index as shown by GET /info, nil if there is none.
func (s *Shelf) Describe(m Model) any {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.index == nil {
		return nil
	}
	of, now := s.index.Binding(), s.index.Stats()
	about := map[string]any{"items": now.Items, "namespaces": now.Namespaces, "fingerprint": of.Fingerprint,
		"similarity": of.Similarity(), "state": s.state(m), "progress": nil}
	if s.state(m) == rebuilding {
		done, total := s.rebuild()
		about["progress"] = map[string]int{"done": done, "total": total}
	}
	return about
}

// States of an index relative to a model.
const (
	none       = "none"
	ready      = "ready"      // its vectors are the model's
	stale      = "stale"      // its vectors are another model's: no search
	rebuilding = "rebuilding" // its vectors are being remade for the model
)

// States are all the values that State may return.
var States = []string{none, ready, stale, rebuilding}

// State is the state of the index relative to a model, one of States.
func (s *Shelf) State(m Model) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.index == nil {
		return none
	}
	return s.state(m)
}

// state is State for callers that hold the lock; there must be an index.
func (s *Shelf) state(m Model) string {
	switch {
	case s.index.Binding().Fingerprint == m.Fingerprint():
		return ready
	case s.rebuild == nil:
		return stale
	}
	return rebuilding
}
