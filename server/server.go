// Package server answers embedding requests over HTTP: images in, vectors out,
// with dynamic batching. It knows nothing of training.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/semaphore"

	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
	"vicreg/server/batch"
)

// Config says how requests are taken. Every field must be set: see Defaults.
type Config struct {
	MaxBody  int64          // bytes of a request
	MaxItems int            // images of a request
	Queue    int            // images that may wait or run
	MaxBatch int            // images of a batch at the most
	Deadline time.Duration  // from the first byte of a request to its answer
	Drain    time.Duration  // for what is under way when the server stops
	Decoders int            // images that are decoded at once
	Limits   imaging.Limits // of an image
	Keys     []string       // API keys; none means that no key is asked for
}

// Defaults are the settings for a machine with so many cores.
func Defaults(cores int) Config {
	return Config{MaxBody: 64 << 20, MaxItems: 256, Queue: 1024, MaxBatch: 32, Deadline: 30 * time.Second,
		Drain: 20 * time.Second, Decoders: cores, Limits: imaging.Limits{Side: 16384, Pixels: 50_000_000}}
}

// Server embeds images with one model. Its Handler may be used before Run.
type Server struct {
	config  Config
	enc     *encoder.Encoder
	log     *slog.Logger
	batcher *batch.Batcher[[]uint8, []float32]
	sizes   []batch.Point // throughput by batch size, as measured at the start
	best    int
	pool    *pool
	bodies  *semaphore.Weighted // bytes of bodies in memory
	metrics *metrics
	canary  canary
	ready   atomic.Bool
	handler *echo.Echo
	begun   time.Time
}

// New prepares a server: it measures which batch size pays, which takes a second or
// so, and embeds the canary. The encoder stays the caller's, and open until Close
// has returned.
func New(enc *encoder.Encoder, config Config, log *slog.Logger) (*Server, error) {
	s := &Server{config: config, enc: enc, log: log, begun: time.Now(), metrics: newMetrics()}
	enc.Limits = config.Limits
	if err := s.learn(); err != nil {
		return nil, fmt.Errorf("measure the model: %w", err)
	}
	s.batcher = batch.New(s.encode, batch.Config{Workers: 1, Max: s.best, Queue: config.Queue, Limit: config.Deadline})
	s.pool = newPool(enc, config.Decoders)
	s.bodies = semaphore.NewWeighted(bodiesAtOnce * config.MaxBody)
	if err := s.canary.begin(s); err != nil {
		s.Close(context.Background())
		return nil, fmt.Errorf("embed the first image: %w", err)
	}
	s.metrics.watch(s)
	s.handler = s.routes()
	s.ready.Store(true)
	return s, nil
}

// bodiesAtOnce is how many bodies of the largest size may be in memory.
const bodiesAtOnce = 4

// learn finds the batch size that pays, on noise.
func (s *Server) learn() (err error) {
	size := 3 * s.enc.Size() * s.enc.Size()
	pixels := make([]uint8, s.config.MaxBatch*size)
	for i := range pixels {
		pixels[i] = uint8(i * 2654435761 >> 13)
	}
	s.best, s.sizes, err = batch.Best(s.config.MaxBatch, func(n int) (time.Duration, error) {
		begin, runs := time.Now(), 0
		for ; runs == 0 || time.Since(begin) < learnFor; runs++ {
			if _, err := s.enc.Encode(context.Background(), pixels[:n*size], n); err != nil {
				return 0, err
			}
		}
		return time.Since(begin) / time.Duration(runs), nil
	})
	return err
}

// learnFor is how long a batch size is measured at a time: one run of a small model
// is over before the clock and the machine's other work even out.
const learnFor = 30 * time.Millisecond

// encode runs a batch, in pieces of a power of two: few shapes keep the runtime's
// memory small, and a piece of 4 and one of 1 cost less than 5 padded to 8.
func (s *Server) encode(ctx context.Context, items [][]uint8) ([][]float32, error) {
	s.metrics.batches.Observe(float64(len(items)))
	out := make([][]float32, 0, len(items))
	for len(items) > 0 {
		n := 1
		for 2*n <= len(items) {
			n *= 2
		}
		var pixels []uint8
		for _, item := range items[:n] {
			pixels = append(pixels, item...)
		}
		y, err := s.enc.Encode(ctx, pixels, n)
		if err != nil {
			return nil, err
		}
		for i := range n {
			out = append(out, y[i*s.enc.Dim():(i+1)*s.enc.Dim()])
		}
		items = items[n:]
	}
	return out, nil
}

// Handler answers requests.
func (s *Server) Handler() http.Handler { return s.handler }

// Run serves on the listener until ctx ends, then lets what is under way finish,
// and returns when all it started has ended. The listener is closed.
func (s *Server) Run(ctx context.Context, l net.Listener, certificates *tls.Config) error {
	server := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       s.config.Deadline,
		WriteTimeout:      2 * s.config.Deadline, // from the headers on; a client that does not read ends there
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		TLSConfig:         certificates,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	ended := make(chan error, 1)
	go func() {
		if certificates != nil {
			ended <- server.ServeTLS(l, "", "")
			return
		}
		ended <- server.Serve(l)
	}()
	select {
	case err := <-ended:
		return errors.Join(err, s.Close(context.Background()))
	case <-ctx.Done():
	}
	s.ready.Store(false)
	s.log.Info("stopping", "waiting", s.batcher.Waiting())
	time.Sleep(min(time.Second, s.config.Drain/4)) // for balancers to see that it is not ready
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.Drain)
	defer cancel()
	err := server.Shutdown(drain)
	if err != nil {
		err = fmt.Errorf("stop: requests were still under way after %v: %w", s.config.Drain, errors.Join(err, server.Close()))
	}
	<-ended
	return errors.Join(err, s.Close(drain))
}

// Close ends what New started. It may be called again.
func (s *Server) Close(ctx context.Context) error {
	s.ready.Store(false)
	s.canary.stop()
	err := s.batcher.Close(ctx) // ends the canary's last item, too
	s.canary.done.Wait()
	if s.pool != nil {
		s.pool.close()
	}
	return err
}
