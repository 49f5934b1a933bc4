package server

import (
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"vicreg/server/problem"
	"vicreg/server/request"
)

// base is what every request passes through.
func (s *Server) base() *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = s.fail
	e.OnAddRouteHandler = func(_ string, r echo.Route, h echo.HandlerFunc, m []echo.MiddlewareFunc) {
		if r.Method == http.MethodGet { // HEAD goes wherever GET does; net/http drops the body
			e.Add(http.MethodHead, r.Path, h, m...)
		}
	}
	e.IPExtractor = echo.ExtractIPDirect() // what a client says of itself is not logged as fact
	e.Use(s.identify, s.observe, s.survive)
	return e
}

// routes are all paths.
func (s *Server) routes() *echo.Echo {
	e := s.base()
	work := func(h func(echo.Context, embedder) error) echo.HandlerFunc {
		return s.authorize(s.limit(s.with(func(c echo.Context, e embedder) error {
			if err := e.Room(c.Request().Context()); err != nil {
				return err
			}
			return h(c, e)
		})))
	}
	e.POST("/embed", work(s.embed)) // not in a group: its catch-all hides 405
	e.GET("/info", s.authorize(s.with(s.info)))
	s.openAI(e, work)
	s.inference(e, work)
	s.indexed(e)
	s.searchPage(e)
	s.documents(e)
	s.probes(e)
	if !s.config.OwnMetrics {
		e.GET("/metrics", echo.WrapHandler(s.metrics.handler()))
	}
	return e
}

// indexed are the routes of the index.
func (s *Server) indexed(e *echo.Echo) {
	vectors := func(h func(echo.Context, embedder) error) echo.HandlerFunc {
		return s.authorize(s.limit(s.with(func(c echo.Context, e embedder) error {
			if err := s.searchable(e); err != nil {
				return err
			}
			if !request.IsJSON(c) { // which may have ids or vectors: those need no room
				if err := e.Room(c.Request().Context()); err != nil {
					return err
				}
			}
			return h(c, e)
		})))
	}
	e.POST("/similar", vectors(s.similar), onlyWith(options...))
	e.POST("/items", vectors(s.postItems), onlyWith("namespace"))
	e.PUT("/items/:id", vectors(s.putItem), onlyWith("namespace", "metadata", "source"))
	plain := func(h echo.HandlerFunc) echo.HandlerFunc { return s.authorize(s.limit(s.serving(h))) } // whatever the model is
	e.GET("/items", plain(s.listItems), onlyWith("namespace", "filter", "limit", "after"))
	e.GET("/items/:id", plain(s.getItem), onlyWith("namespace", "with_vector"))
	e.DELETE("/items/:id", plain(s.deleteItem), onlyWith("namespace"))
	e.GET("/items/:id/thumbnail", plain(s.itemThumbnail), onlyWith("namespace"))
	e.GET("/namespaces", plain(s.listNamespaces), onlyWith())
}

// onlyWith refuses requests with other parameters: a filter whose name is misspelt
// would else find everything.
func onlyWith(names ...string) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			for name := range c.QueryParams() {
				if !slices.Contains(names, name) {
					return problem.Errorf(problem.BadRequest, "unknown parameter %q: want one of %s", name, strings.Join(names, ", "))
				}
			}
			return next(c)
		}
	}
}

// operations are the routes for those who watch the server, for an address apart.
func (s *Server) operations() *echo.Echo {
	e := s.base()
	s.probes(e)
	e.GET("/metrics", echo.WrapHandler(s.metrics.handler()))
	return e
}

func (s *Server) probes(e *echo.Echo) {
	e.GET("/livez", s.livez)
	e.GET("/readyz", s.readyz)
}
