package server

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"vicreg/server/problem"
)

// canaryStale is the least age of the last good canary at which the server counts as dead.
const canaryStale = time.Minute

// livez reports whether the process is working. A full queue is no reason to restart it: the canary
// always gets a place at the queue's end. Nor is a model that is still loading; readyz reports
// that.
func (s *Server) livez(c echo.Context) error {
	e := s.current()
	if e == nil {
		return c.JSON(http.StatusOK, map[string]any{"alive": true})
	}
	age := e.Stats().CanaryAge
	status := http.StatusOK
	if age > max(canaryStale, 2*s.config.Deadline) { // a full queue delays the canary by up to a deadline or so
		status = http.StatusServiceUnavailable
	}
	return c.JSON(status, map[string]any{"alive": status == http.StatusOK, "canary_age_seconds": age.Seconds()})
}

// readyz reports whether the server accepts new requests.
func (s *Server) readyz(c echo.Context) error {
	switch {
	case s.stopping.Load():
		return problem.Stopping
	case s.current() == nil:
		return problem.Loading
	}
	return c.JSON(http.StatusOK, map[string]any{"ready": true})
}
