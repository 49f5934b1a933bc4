package items

import (
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"vicreg/server/problem"
)

// Register adds the routes. What vectors makes of a handler gives it the model in service,
// which Searchable takes; what plain makes of one needs none.
func (s *Shelf) Register(e *echo.Echo, vectors func(func(echo.Context, Model) error) echo.HandlerFunc, plain func(echo.HandlerFunc) echo.HandlerFunc) {
	e.POST("/similar", vectors(s.similar), onlyWith(options...))
	e.POST("/items", vectors(s.postItems), onlyWith("namespace"))
	e.PUT("/items/:id", vectors(s.putItem), onlyWith("namespace", "metadata", "source"))
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
