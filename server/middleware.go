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

// requestID is the id of a request in logs and problems.
func requestID(c echo.Context) string { return c.Response().Header().Get(echo.HeaderXRequestID) }

// identify gives a request its id (the client's own if it is harmless), adds the model's
// fingerprint to the answer, and closes connections while the server is stopping.
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
		if s.stopping.Load() { // close after the answer, when the client is told, rather than while it is sending
			h.Set(echo.HeaderConnection, "close")
		}
		if trace := traceparent(c); trace != "" {
			h.Set("traceparent", trace)
		}
		return next(c)
	}
}

// traceparent is the request's W3C trace context, "" if missing or malformed.
func traceparent(c echo.Context) string {
	if trace := c.Request().Header.Get("traceparent"); wellTraced.MatchString(trace) {
		return trace
	}
	return ""
}

var wellTraced = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

// observe counts and logs a request once it has been answered.
func (s *Server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		begin := time.Now()
		err := next(c)
		var panicked *problem.Panic
		if errors.As(err, &panicked) {
			s.metrics.panics.Inc()
		}
		broke := 0
		if err != nil && c.Response().Committed { // too late to send an error
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

// broken logs an answer that was cut short, and returns the status to count it under, whatever the
// client was sent: client gone, or internal error.
func (s *Server) broken(err error, c echo.Context) (status int) {
	var lost net.Error // includes clients that do not read: see unread
	code, level := problem.Internal, slog.LevelError
	if c.Request().Context().Err() != nil || errors.As(err, &lost) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		code, level = problem.Gone, slog.LevelWarn
	}
	s.log.Log(context.WithoutCancel(c.Request().Context()), level, "a response was cut off", "error", err, "request_id", requestID(c))
	return (&problem.Error{Code: code}).Document("").Status
}

// fail is the framework's error handler: it sends every error as a problem.
func (s *Server) fail(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	p := problem.OfRequest(c, err)
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

// authorize requires an API key if there are any; otherwise it checks where the request comes from.
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

// limit bounds the body and the answer, and gives the request its deadline.
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

// with passes the model in service to a handler and keeps it open until the handler returns.
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

// serving rejects requests once the server is draining, on routes that need no model.
func (s *Server) serving(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if s.draining.Load() {
			return problem.Stopping
		}
		return next(c)
	}
}
