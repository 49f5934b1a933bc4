package items

import (
	"context"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"vicreg/server/index"
	"vicreg/server/index/filter"
	"vicreg/server/problem"
	"vicreg/server/request"
)

// Limits of a page of items.
const (
	defaultPage = 100
	mostPage    = 1000
	pageBytes   = 4 << 20 // of ids, metadata and sources: a page ends before it would exceed this
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
	var absent string
	q.Bytes = pageBytes
	if err := s.at(func(items Index) (err error) {
		if page, err = items.List(c.Request().Context(), namespace, q); err == nil && page.Total == 0 {
			absent = note(c.Request().Context(), items, namespace, q.Filter)
		}
		return err
	}); err != nil {
		return err
	}
	var size int64
	for i := range page.Items {
		it := &page.Items[i]
		size += perItem + int64(len(it.ID)+len(it.Metadata)+len(it.Source))
	}
	if err := request.Hold(c, size); err != nil {
		return err
	}
	var next *string
	if page.Next != 0 {
		text := strconv.FormatInt(page.Next, 10)
		next = &text
	}
	about := map[string]any{"namespace": namespace, "total": page.Total, "next": next}
	if absent != "" {
		about["note"] = absent
	}
	return stream(c, about, len(page.Items), func(w *jsonWriter, i int) error {
		return w.value(itemOf(namespace, &page.Items[i]))
	})
}

// perItem is the size of an item in memory or in an answer, apart from its texts, in bytes.
const perItem = 512

// note explains an empty answer. Unlike in the commands, a namespace without items is no error
// here: a namespace begins with its first item and ends with its last, so a client does nothing
// wrong by querying before it has stored anything or after another has deleted everything. Even so,
// a misspelt name must not go unnoticed.
func note(ctx context.Context, items Index, namespace string, f *filter.Filter) string {
	return problem.Cut(index.Nothing(ctx, items, namespace, f), mostNote)
}

// mostNote is the maximum length of a note in bytes: it repeats names that the client chose.
const mostNote = 1000

// listingOf reads the parameters of a listing.
func listingOf(c echo.Context) (q index.Listing, err error) {
	q.Limit = defaultPage
	if text := c.QueryParam("limit"); text != "" {
		if q.Limit, err = strconv.Atoi(text); err != nil || q.Limit < 1 || q.Limit > mostPage {
			return q, problem.Errorf(problem.BadRequest, "limit %s: want a whole number from 1 to %d", text, mostPage)
		}
	}
	if text := c.QueryParam("after"); text != "" {
		if q.After, err = strconv.ParseInt(text, 10, 64); err != nil || q.After < 0 {
			return q, problem.Errorf(problem.BadRequest, "after %s: want the value of next from the previous page", text)
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
	var size int64
	for _, n := range data {
		size += perItem + int64(len(n.Name))
		for _, field := range n.Fields {
			size += 32 + int64(len(field))
		}
	}
	if err := request.Hold(c, size); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string]any{"data": data})
}
