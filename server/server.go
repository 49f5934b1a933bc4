// Package server answers requests over HTTP, with dynamic batching: it turns images into vectors,
// or finds the most similar of its stored items. It is independent of training.
//
// It contains the commands serve and health, the middleware, and the routes except those of the
// index, which are in items. Package engine runs the models, request parses requests, and problem
// reports errors.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/semaphore"

	"vicreg/models/ort"
	"vicreg/pipeline/encoder"
	"vicreg/server/engine"
	"vicreg/server/items"
	"vicreg/server/problem"
	"vicreg/server/request"
)

// Server embeds images with the model that was loaded last. Its Handler may be used before any is:
// requests that need the model are then answered with 503.
type Server struct {
	Items *items.Shelf // the index in service

	config  Config
	open    func() (*encoder.Encoder, error)
	log     *slog.Logger
	keys    *keys
	bodies  *semaphore.Weighted // memory budget of request bodies, in bytes
	answers *request.Answers    // memory budget of answers
	engines *engine.Shared
	metrics *metrics
	handler *echo.Echo
	begun   time.Time

	stopping atomic.Bool // no longer ready, but still answering
	draining atomic.Bool // no new requests are accepted

	mu      sync.RWMutex // read-locked to use the engine, locked to replace it
	engine  embedder
	loading sync.Mutex     // allows one load at a time
	old     sync.WaitGroup // replaced engines that still have users
}

// embedder is what the server needs of the model in service; engine.Engine implements it.
type embedder interface {
	Fingerprint() string
	Dim() int
	Size() int
	Device() ort.Device
	Metadata() *encoder.Metadata
	Stats() engine.Stats

	Room(ctx context.Context) error
	Embed(ctx context.Context, images []request.Image, pictured bool) (*engine.Result, error)
	EmbedPixels(ctx context.Context, images [][]uint8) (*engine.Result, error)

	Use() (done func())
	Close(ctx context.Context) error
}

// bodiesAtOnce is how many bodies of the maximum size may be in memory.
const bodiesAtOnce = 4

// New prepares a server whose models are opened by open. Load loads the first one.
func New(open func() (*encoder.Encoder, error), config Config, log *slog.Logger) *Server {
	m := newMetrics()
	s := &Server{config: config, open: open, log: log, begun: time.Now(), metrics: m, keys: newKeys(config.Keys),
		bodies: semaphore.NewWeighted(bodiesAtOnce * config.MaxBody), answers: request.NewAnswers(config.Answers),
		engines: engine.NewShared(config.Config, log, m.registry)}
	s.Items = items.New(items.Config{MaxItems: config.MaxItems, MaxBody: config.MaxBody, Limits: config.Limits, Deadline: config.Deadline}, log,
		items.Host{Spent: s.spent, Kept: keep, Use: func() (func(), error) {
			_, done, err := s.use()
			return done, err
		}}, m.registry)
	s.metrics.watch(s)
	s.handler = s.routes()
	return s
}

// Handler returns the handler of all requests.
func (s *Server) Handler() http.Handler { return s.handler }

// Load opens the model, warms it up while the current one keeps serving, and then replaces it for
// all new requests; requests in progress finish with the old one. After an error the server
// continues as before. Load is safe for concurrent use.
func (s *Server) Load() error {
	s.loading.Lock()
	defer s.loading.Unlock()
	if s.draining.Load() {
		return problem.Stopping
	}
	enc, err := s.open()
	if err != nil {
		return err
	}
	next, err := s.engines.Start(enc)
	if err != nil {
		return err
	}
	if err := s.Items.Begin(next); err != nil {
		return errors.Join(err, next.Close(context.Background()))
	}
	s.mu.Lock()
	last := s.engine
	if s.draining.Load() { // too late: the server has been closed
		s.mu.Unlock()
		return errors.Join(problem.Stopping, next.Close(context.Background()))
	}
	s.engine = next
	s.mu.Unlock()
	s.log.Info("model loaded", "fingerprint", next.Fingerprint(), "dim", next.Dim(), "batch", next.Stats().Batch)
	if last != nil {
		s.old.Go(func() {
			if err := last.Close(context.Background()); err != nil {
				s.log.Error("close the replaced model", "error", err)
			}
		})
	}
	s.Items.Follow(next)
	return nil
}

// use acquires the engine for a request, which must call done when it ends.
func (s *Server) use() (e embedder, done func(), err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch {
	case s.draining.Load():
		return nil, nil, problem.Stopping
	case s.engine == nil:
		return nil, nil, problem.Loading
	}
	return s.engine, s.engine.Use(), nil
}

// current is the engine in service, nil before the first. It may be closed at any time, so it is
// only good for descriptions and statistics.
func (s *Server) current() embedder {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.engine
}

// Close ends what Load started: requests in progress may finish until ctx ends, and are then cut
// off. It may be called more than once.
func (s *Server) Close(ctx context.Context) error {
	s.stopping.Store(true)
	s.draining.Store(true)
	s.Items.Quit()
	s.loading.Lock() // whoever is loading a model closes it
	defer s.loading.Unlock()
	s.Items.Halt()
	s.mu.Lock()
	last := s.engine
	s.engine = nil
	s.mu.Unlock()
	var err error
	if last != nil {
		if err = last.Close(ctx); err != nil {
			err = fmt.Errorf("close the model: %w", err)
		}
	}
	s.old.Wait()
	if failed := s.Items.Close(); failed != nil {
		err = errors.Join(err, fmt.Errorf("close the index: %w", failed))
	}
	return err
}
