package server

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"vicreg/server/items"
	"vicreg/server/request"
)

// base returns a router with the middleware of every request.
func (s *Server) base() *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = s.fail
	e.OnAddRouteHandler = func(_ string, r echo.Route, h echo.HandlerFunc, m []echo.MiddlewareFunc) {
		if r.Method == http.MethodGet { // HEAD is routed like GET; net/http drops the body
			e.Add(http.MethodHead, r.Path, h, m...)
		}
	}
	e.IPExtractor = echo.ExtractIPDirect() // forwarded addresses, which clients can forge, are not logged as fact
	e.Use(s.unread, s.identify, s.observe, s.survive)
	return e
}

// routes returns the router of the API.
func (s *Server) routes() *echo.Echo {
	e := s.base()
	work := func(h func(echo.Context, embedder) error) echo.HandlerFunc {
		return s.limit(s.with(func(c echo.Context, e embedder) error {
			if err := e.Room(c.Request().Context()); err != nil {
				return err
			}
			return h(c, e)
		}))
	}
	e.POST("/embed", s.permit(work(s.embed), embedOptions...)) // not in a group: its catch-all hides 405
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

// permit requires an API key, and only then rejects query parameters other than these: which ones a
// route accepts is disclosed only to authorised clients.
func (s *Server) permit(next echo.HandlerFunc, parameters ...string) echo.HandlerFunc {
	return s.authorize(request.Only(parameters...)(next))
}

// indexed adds the routes of the index.
func (s *Server) indexed(e *echo.Echo) {
	vectors := func(h func(echo.Context, items.Model) error, parameters ...string) echo.HandlerFunc {
		return s.permit(s.limit(s.with(func(c echo.Context, e embedder) error {
			if err := s.Items.Searchable(e); err != nil {
				return err
			}
			if !request.IsJSON(c) { // JSON may hold ids or vectors, which need no place in the queue
				if err := e.Room(c.Request().Context()); err != nil {
					return err
				}
			}
			return h(c, e)
		})), parameters...)
	}
	plain := func(h echo.HandlerFunc, parameters ...string) echo.HandlerFunc { // independent of the model
		return s.permit(s.limit(s.serving(h)), parameters...)
	}
	s.Items.Register(e, vectors, plain)
}

// operations returns the router for monitoring at a separate address.
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
