package items

import (
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"vicreg/server/index"
	"vicreg/server/problem"
)

// Items of a page.
const (
	defaultPage = 100
	mostPage    = 1000
)

// listItems answers GET /items.
func (s *Shelf) listItems(c echo.Context) error {
	namespace, err := namespaceOf(c.QueryParam("namespace"))
	if err != nil {
		return err
	}
	q, err := listingOf(c)
	if err != nil {
		return err
	}
	var page *index.Page
	if err := s.at(func(items Index) (err error) {
		page, err = items.List(c.Request().Context(), namespace, q)
		return err
	}); err != nil {
		return err
	}
	data := make([]item, len(page.Items))
	for i := range page.Items {
		data[i] = itemOf(namespace, &page.Items[i])
	}
	var next *string
	if page.Next != 0 {
		text := strconv.FormatInt(page.Next, 10)
		next = &text
	}
	return c.JSON(http.StatusOK, map[string]any{"namespace": namespace, "total": page.Total, "data": data, "next": next})
}

// listingOf takes the parameters of a listing.
func listingOf(c echo.Context) (q index.Listing, err error) {
	q.Limit = defaultPage
	if text := c.QueryParam("limit"); text != "" {
		if q.Limit, err = strconv.Atoi(text); err != nil || q.Limit < 1 || q.Limit > mostPage {
			return q, problem.Errorf(problem.BadRequest, "limit %s: want a whole number from 1 to %d", text, mostPage)
		}
	}
	if text := c.QueryParam("after"); text != "" {
		if q.After, err = strconv.ParseInt(text, 10, 64); err != nil || q.After < 0 {
			return q, problem.Errorf(problem.BadRequest, "after %s: want what next was in the page before", text)
		}
	}
	if text := c.QueryParam("filter"); text != "" {
		q.Filter, err = filterOf(text)
	}
	return q, err
}

// listNamespaces answers GET /namespaces.
func (s *Shelf) listNamespaces(c echo.Context) error {
	type namespace struct {
		Name   string   `json:"name"`
		Items  int      `json:"items"`
		Fields []string `json:"fields"`
	}
	data := []namespace{}
	if err := s.at(func(items Index) error {
		for _, n := range items.Namespaces() {
			data = append(data, namespace{n.Name, n.Items, append([]string{}, n.Fields...)})
		}
		return nil
	}); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string]any{"data": data})
}
