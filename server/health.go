package server

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"vicreg/server/problem"
)

// canaryStale is how long the canary may have been silent at the least.
const canaryStale = time.Minute

// livez tells whether the process does its work. A full queue is no reason to
// restart it: the canary has a place of its own at its end. Nor is a model that is
// still being loaded, which readyz tells of.
func (s *Server) livez(c echo.Context) error {
	e := s.current()
	if e == nil {
		return c.JSON(http.StatusOK, map[string]any{"alive": true})
	}
	age := e.Stats().CanaryAge
	status := http.StatusOK
	if age > max(canaryStale, 2*s.config.Deadline) { // a full queue holds it up for most of one
		status = http.StatusServiceUnavailable
	}
	return c.JSON(status, map[string]any{"alive": status == http.StatusOK, "canary_age_seconds": age.Seconds()})
}

// readyz tells whether new requests are welcome.
func (s *Server) readyz(c echo.Context) error {
	switch {
	case s.stopping.Load():
		return problem.Stopping
	case s.current() == nil:
		return problem.Loading
	}
	return c.JSON(http.StatusOK, map[string]any{"ready": true})
}
