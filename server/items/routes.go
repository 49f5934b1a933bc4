package items

import (
	"github.com/labstack/echo/v4"

	"vicreg/server/request"
)

// Register adds the routes. What vectors makes of a handler gives it the model in service,
// which Searchable takes; what plain makes of one needs none.
func (s *Shelf) Register(e *echo.Echo, vectors func(func(echo.Context, Model) error) echo.HandlerFunc, plain func(echo.HandlerFunc) echo.HandlerFunc) {
	e.POST("/similar", vectors(s.similar), request.Only(options...))
	e.POST("/items", vectors(s.postItems), request.Only("namespace"))
	e.PUT("/items/:id", vectors(s.putItem), request.Only(itemFields...))
	e.GET("/items", plain(s.listItems), request.Only("namespace", "filter", "limit", "after"))
	e.GET("/items/:id", plain(s.getItem), request.Only("namespace", "with_vector"))
	e.DELETE("/items/:id", plain(s.deleteItem), request.Only("namespace"))
	e.GET("/items/:id/thumbnail", plain(s.itemThumbnail), request.Only("namespace"))
	e.GET("/namespaces", plain(s.listNamespaces), request.Only())
}
