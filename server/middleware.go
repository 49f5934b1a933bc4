package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/labstack/echo/v4"

	"vicreg/server/problem"
	"vicreg/server/request"
)

// requestID is the name of a request in logs and problems.
func requestID(c echo.Context) string { return c.Response().Header().Get(echo.HeaderXRequestID) }

// identify gives a request its id, the client's own if it sent a harmless one, names
// the model on every answer, and ends connections while the server stops.
func (s *Server) identify(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		id := c.Request().Header.Get(echo.HeaderXRequestID)
		if id == "" || len(id) > 128 || strings.ContainsFunc(id, func(r rune) bool { return r < '!' || r > '~' }) {
			var b [12]byte
			rand.Read(b[:])
			id = hex.EncodeToString(b[:])
		}
		c.SetRequest(c.Request().WithContext(request.WithID(c.Request().Context(), id)))
		h := c.Response().Header()
		h.Set(echo.HeaderXRequestID, id)
		if e := s.current(); e != nil {
			h.Set("X-Model-Fingerprint", e.Fingerprint())
		}
		if s.stopping.Load() { // after its answer, when the client knows, not while it sends
			h.Set(echo.HeaderConnection, "close")
		}
		if trace := traceparent(c); trace != "" {
			h.Set("traceparent", trace)
		}
		return next(c)
	}
}

// traceparent is the place of a request in a trace, if it has one as W3C writes it.
func traceparent(c echo.Context) string {
	if trace := c.Request().Header.Get("traceparent"); wellTraced.MatchString(trace) {
		return trace
	}
	return ""
}

var wellTraced = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

// observe counts and logs a request when it is answered.
func (s *Server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		begin := time.Now()
		err := next(c)
		var panicked *problem.Panic
		if errors.As(err, &panicked) {
			s.metrics.panics.Inc()
		}
		broke := 0
		if err != nil && c.Response().Committed { // too late for another answer
			broke = s.broken(err, c)
			err = nil
		}
		if err != nil {
			s.fail(err, c)
		}
		took, status, route := time.Since(begin), cmp.Or(broke, c.Response().Status), c.Path()
		if route == "" {
			route = "none"
		}
		s.metrics.requests.WithLabelValues(route, fmt.Sprint(status)).Inc()
		s.metrics.seconds.WithLabelValues(route).Observe(took.Seconds())
		if err != nil {
			s.metrics.rejected.WithLabelValues(string(problem.Of(err).Code)).Inc()
		}
		s.log.Info("request", "method", c.Request().Method, "route", route, "status", status, "seconds", took.Seconds(),
			"bytes_in", c.Request().ContentLength, "bytes_out", c.Response().Size, "request_id", requestID(c),
			"traceparent", traceparent(c), "remote", c.RealIP())
		return nil
	}
}

// broken logs an answer that broke off, and is the status to count it by, whatever the
// client was told: that of a client who left, or that of our own fault.
func (s *Server) broken(err error, c echo.Context) (status int) {
	var lost net.Error // also of a client that does not read: see httpServer
	code, level := problem.Internal, slog.LevelError
	if c.Request().Context().Err() != nil || errors.As(err, &lost) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		code, level = problem.Gone, slog.LevelWarn
	}
	s.log.Log(context.WithoutCancel(c.Request().Context()), level, "an answer broke off", "error", err, "request_id", requestID(c))
	return (&problem.Error{Code: code}).Document("").Status
}

// fail is the framework's handler of errors: every one leaves as problem+json.
func (s *Server) fail(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	p := problem.Of(err)
	if p.Code == problem.Internal {
		s.log.Error("request failed", "error", err, "request_id", requestID(c))
	}
	p.Answer(c, requestID(c))
}

// survive turns a panic into an error.
func (s *Server) survive(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer problem.Caught(&err)
		return next(c)
	}
}

// authorize asks for an API key where there are any, and else who has sent the request.
func (s *Server) authorize(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if !s.keys.wanted() {
			if err := s.invited(c.Request()); err != nil {
				return err
			}
			return next(c)
		}
		scheme, given, ok := strings.Cut(c.Request().Header.Get(echo.HeaderAuthorization), " ")
		if known := s.keys.has(given); !known || !ok || !strings.EqualFold(scheme, "Bearer") {
			return problem.Errorf(problem.Unauthorized, "send the header Authorization: Bearer KEY")
		}
		return next(c)
	}
}

// limit bounds body and answer, and gives the request its deadline.
func (s *Server) limit(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if r.ContentLength > s.config.MaxBody {
			return &http.MaxBytesError{Limit: s.config.MaxBody}
		}
		s.metrics.inFlight.Inc()
		defer s.metrics.inFlight.Dec()
		deadline := time.Now().Add(s.config.Deadline)
		ctx, cancel := context.WithDeadline(r.Context(), deadline)
		defer cancel()
		r = r.WithContext(ctx)
		defer request.Pace(c.Response(), r, request.Pacing{Most: s.config.MaxBody, Rate: s.config.MinRate, Deadline: deadline, Room: s.bodies})()
		c.SetRequest(r)
		defer s.answers.Serve(c)()
		return next(c)
	}
}

// with gives a handler the model in service, which stays open until it returns.
func (s *Server) with(h func(echo.Context, embedder) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		e, done, err := s.use()
		if err != nil {
			return err
		}
		defer done()
		c.Response().Header().Set("X-Model-Fingerprint", e.Fingerprint())
		return h(c, e)
	}
}

// serving refuses what would begin when the server ends; a model is not needed.
func (s *Server) serving(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if s.draining.Load() {
			return problem.Stopping
		}
		return next(c)
	}
}
