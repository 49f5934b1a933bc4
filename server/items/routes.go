package items

import "github.com/labstack/echo/v4"

// Register adds the routes. vectors wraps a handler that needs the model in service, which must be
// Searchable; plain wraps one that needs no model. Both reject query parameters other than those
// listed.
func (s *Shelf) Register(e *echo.Echo, vectors func(handler func(echo.Context, Model) error, parameters ...string) echo.HandlerFunc,
	plain func(handler echo.HandlerFunc, parameters ...string) echo.HandlerFunc) {
	e.POST("/similar", vectors(s.similar, options...))
	e.POST("/items", vectors(s.postItems, "namespace"))
	e.PUT("/items/:id", vectors(s.putItem, itemFields...))
	e.GET("/items", plain(s.listItems, "namespace", "filter", "limit", "after"))
	e.GET("/items/:id", plain(s.getItem, "namespace", "with_vector"))
	e.DELETE("/items/:id", plain(s.deleteItem, "namespace"))
	e.GET("/items/:id/thumbnail", plain(s.itemThumbnail, "namespace"))
	e.GET("/namespaces", plain(s.listNamespaces))
}
