package server

import (
	"github.com/labstack/echo/v4"

	searchpage "vicreg/server/page"
)

// searchPage adds the routes of the search page. The page contains no secrets and needs no key; if
// the API requires one, the page prompts the user for it.
func (s *Server) searchPage(e *echo.Echo) {
	e.GET("/", func(c echo.Context) error {
		c.Response().Header().Set(echo.HeaderContentSecurityPolicy, searchpage.Policy)
		return keep(c, echo.MIMETextHTMLCharsetUTF8, searchpage.HTML())
	})
	e.GET("/page/:asset", func(c echo.Context) error {
		file, kind, ok := searchpage.Asset(c.Param("asset"))
		if !ok {
			return echo.ErrNotFound
		}
		return keep(c, kind, file)
	})
}
