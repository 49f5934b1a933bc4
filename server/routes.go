package server

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// base is what every request passes through.
func (s *Server) base() *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = s.fail
	e.IPExtractor = echo.ExtractIPDirect() // what a client says of itself is not logged as fact
	e.Use(s.identify, s.observe, s.survive)
	return e
}

// routes are all paths.
func (s *Server) routes() *echo.Echo {
	e := s.base()
	work := func(h func(echo.Context, *engine) error) echo.HandlerFunc {
		return s.authorize(s.limit(s.with(func(c echo.Context, e *engine) error {
			if err := e.room(c.Request().Context()); err != nil {
				return err
			}
			return h(c, e)
		})))
	}
	e.POST("/embed", work(s.embed)) // not in a group: its catch-all hides 405
	e.GET("/info", s.authorize(s.with(s.info)))
	s.openAI(e, work)
	s.inference(e, work)
	s.documents(e)
	s.probes(e)
	if !s.config.OwnMetrics {
		e.GET("/metrics", echo.WrapHandler(s.metrics.handler()))
	}
	return e
}

// operations are the routes for those who watch the server, for an address apart.
func (s *Server) operations() *echo.Echo {
	e := s.base()
	s.probes(e)
	e.GET("/metrics", echo.WrapHandler(s.metrics.handler()))
	return e
}

func (s *Server) probes(e *echo.Echo) {
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		e.Add(method, "/livez", s.livez)
		e.Add(method, "/readyz", s.readyz)
	}
}
