// Package server answers requests over HTTP, with dynamic batching: images in, vectors
// or the most similar of the items out that it was given. It knows nothing of training.
//
// It has the commands serve and health, what all requests pass through, and the routes but
// for those of the index, which are in items. Models are run by engine, requests taken
// apart by request, and errors told by problem.
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

// Server embeds images with the model that it has loaded last. Its Handler may be
// used before that: what needs the model is then answered with 503.
type Server struct {
	Items *items.Shelf // the index in service

	config  Config
	open    func() (*encoder.Encoder, error)
	log     *slog.Logger
	keys    *keys
	bodies  *semaphore.Weighted // bytes of bodies in memory
	answers *request.Answers    // and of answers
	engines *engine.Shared
	metrics *metrics
	handler *echo.Echo
	begun   time.Time

	stopping atomic.Bool // not ready any more, but still answering
	draining atomic.Bool // no new work is begun

	mu      sync.RWMutex // to take the engine, and to put another in its place
	engine  embedder
	loading sync.Mutex     // one load at a time
	old     sync.WaitGroup // engines that wait for their last users
}

// embedder is what the server needs of the model in service; engine.Engine has it.
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

// bodiesAtOnce is how many of the largest size may be in memory.
const bodiesAtOnce = 4

// New prepares a server whose models open gives. Load loads the first one.
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

// Handler answers requests.
func (s *Server) Handler() http.Handler { return s.handler }

// Load opens the model, warms it up beside the one in service, and takes its place
// for all requests that come from then on; those under way end with theirs. After an
// error the server goes on as it was. It may be called at any time from any goroutine.
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
	if s.draining.Load() { // too late: Close has been here
		s.mu.Unlock()
		return errors.Join(problem.Stopping, next.Close(context.Background()))
	}
	s.engine = next
	s.mu.Unlock()
	s.log.Info("model loaded", "fingerprint", next.Fingerprint(), "dim", next.Dim(), "batch", next.Stats().Batch)
	if last != nil {
		s.old.Go(func() {
			if err := last.Close(context.Background()); err != nil {
				s.log.Error("close the model that was replaced", "error", err)
			}
		})
	}
	s.Items.Follow(next)
	return nil
}

// use takes the engine for a request, which calls done at its end.
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

// current is the engine in service, nil before the first. It may be closed at any
// time: what is only described needs no more.
func (s *Server) current() embedder {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.engine
}

// Close ends what Load started: requests under way are finished until ctx ends, then
// cut off. It may be called again.
func (s *Server) Close(ctx context.Context) error {
	s.stopping.Store(true)
	s.draining.Store(true)
	s.Items.Quit()
	s.loading.Lock() // a model that is being loaded is closed by whoever loads it
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
