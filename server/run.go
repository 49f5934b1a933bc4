package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
)

// Listeners are the addresses at which a server is reached. Run closes them.
type Listeners struct {
	API     net.Listener
	TLS     *tls.Config  // for API; nil for plain HTTP
	Metrics net.Listener // separate address for /metrics and the probes, plain HTTP; nil for none

	Profiles net.Listener // for /debug/pprof/, plain HTTP, only reachable from this machine; nil for none
}

// close closes the listeners that are set.
func (l Listeners) close() error {
	var errs []error
	for _, one := range []net.Listener{l.API, l.Metrics, l.Profiles} {
		if one != nil {
			errs = append(errs, one.Close())
		}
	}
	return errors.Join(errs...)
}

// Run serves at once, loads the model unless Load already has, and then calls ready. When ctx ends,
// /readyz reports that the server is stopping, connections are accepted for another Config.Pause,
// and requests in progress are finished; Run returns when everything it started has ended.
func (s *Server) Run(ctx context.Context, l Listeners, ready func()) error {
	api := s.httpServer(s.handler)
	api.TLSConfig = l.TLS
	ended := make(chan error, 3)
	go func() {
		if l.TLS != nil {
			ended <- api.ServeTLS(l.API, "", "")
			return
		}
		ended <- api.Serve(l.API)
	}()
	servers, running := []*http.Server{api}, 1
	beside := func(h *http.Server, l net.Listener) {
		running++
		go func() { ended <- h.Serve(l) }()
	}
	if l.Metrics != nil {
		side := s.httpServer(s.operations())
		servers = append(servers, side)
		beside(side, l.Metrics)
	}
	profiler := s.httpServer(profiles())
	profiler.WriteTimeout = 0 // a profile lasts as long as the client asked for
	if l.Profiles != nil {
		beside(profiler, l.Profiles)
	}
	loaded := make(chan error, 1)
	var loading sync.WaitGroup
	defer loading.Wait()
	loading.Go(func() {
		if s.current() != nil {
			loaded <- nil
			return
		}
		loaded <- s.Load()
	})
	err := s.wait(ctx, loaded, ended, ready)
	if err == nil {
		s.pause()
	}
	err = errors.Join(err, profiler.Close(), s.stop(ctx, servers)) // do not wait for profiles
	for range running {
		<-ended
	}
	return err
}

// wait returns when the server should stop: nil if ctx ended.
func (s *Server) wait(ctx context.Context, loaded, ended chan error, ready func()) error {
	for {
		select {
		case err := <-loaded:
			if err != nil {
				return err
			}
			ready()
		case err := <-ended:
			ended <- nil // put back for the final count
			return err
		case <-ctx.Done():
			return nil
		}
	}
}

// pause keeps answering, but makes probes and clients go elsewhere: see identify.
func (s *Server) pause() {
	s.stopping.Store(true)
	waiting := 0
	if e := s.current(); e != nil {
		waiting = e.Stats().Waiting
	}
	s.log.Info("stopping", "waiting", waiting)
	time.Sleep(s.config.Pause)
}

// stop shuts down the servers and the model. New requests on connections that are still open are
// rejected; those in progress have Config.Drain to finish.
func (s *Server) stop(ctx context.Context, servers []*http.Server) error {
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.Drain)
	defer cancel()
	s.stopping.Store(true)
	s.draining.Store(true)
	var errs []error
	for _, h := range servers {
		if err := h.Shutdown(drain); err != nil {
			errs = append(errs, fmt.Errorf("stop: requests were still under way after %v: %w", s.config.Drain, errors.Join(err, h.Close())))
		}
	}
	return errors.Join(append(errs, s.Close(drain))...)
}

// httpServer bounds what a connection may use. net/http itself answers errors before the handler,
// in plain text: 431 for more than 64 kB of headers or path, 400 for what is not HTTP/1, and 417,
// 501 and 505 for what it does not support. If the headers time out there is no answer.
func (s *Server) httpServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       s.patience(), // for requests without a paced body
		WriteTimeout:      s.patience(), // counted from the headers, for what net/http answers itself: see unread
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		// A write deadline only resets its HTTP/2 stream, which waits for the connection like all others.
		HTTP2:    &http.HTTP2Config{WriteByteTimeout: s.patience()},
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
}

// patience is the time that a client has to read an answer, from its beginning. A large answer and
// a TLS handshake, which http.Server allows no more than this, need some however short the deadline
// is.
func (s *Server) patience() time.Duration { return max(2*s.config.Deadline, 10*time.Second) }

// unread cuts off clients that do not read their answers. http.Server.WriteTimeout would cut off
// others, too: it counts from the headers of the request, and images in the decoder or the model
// are not interrupted by the deadline.
func (s *Server) unread(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		control := http.NewResponseController(c.Response())
		if c.Request().ProtoMajor > 1 { // HTTP/2 resets a stream as soon as this passes, HTTP/1 only fails writes after it
			_ = control.SetWriteDeadline(time.Time{})
		}
		c.Response().Before(func() { _ = control.SetWriteDeadline(time.Now().Add(s.patience())) })
		return next(c)
	}
}
