package items

import (
	"encoding/json"
	"io"
	"strconv"

	"github.com/labstack/echo/v4"

	"vicreg/server/index"
	"vicreg/server/index/filter"
	"vicreg/server/problem"
	"vicreg/server/request"
)

// search is a search request: by images, ids or vectors, exactly one of the three.
type search struct {
	images  []request.Image
	ids     []string
	vectors [][]float32

	namespace string
	k         int
	filter    *filter.Filter
	least     *float32
	without   []string // ids of items to leave out
	bare      bool     // without metadata and source
}

// Limits and defaults of a search.
const (
	defaultK = 10
	mostHits = 1 << 16 // results over all queries of a request
	mostOut  = 1000    // items to leave out
)

// size is the number of queries.
func (q *search) size() int { return len(q.images) + len(q.ids) + len(q.vectors) }

// options are the names of the query parameters, which are also the names of form parts and of JSON
// fields.
var options = []string{"namespace", "k", "filter", "threshold", "with_metadata", "exclude"}

// readSearch reads the parameters and the body of POST /similar; of is the index's binding. The
// body overrides the parameters.
func (s *Shelf) readSearch(c echo.Context, of index.Binding) (*search, error) {
	q := &search{namespace: index.DefaultNamespace, k: defaultK}
	for _, name := range options {
		if text := c.QueryParam(name); text != "" {
			if err := q.set(name, text); err != nil {
				return nil, err
			}
		}
	}
	take := request.TakeImages(&q.images, s.config.MaxItems)
	take.Field, take.JSON = q.set, func(body io.Reader) error { return s.readSearchJSON(body, q, of) }
	err := request.Read(c, take)
	switch {
	case err != nil:
		return nil, err
	case q.size() == 0:
		return nil, problem.Errorf(problem.BadRequest, "the request contains no query")
	case q.size()*q.k > mostHits:
		return nil, problem.Errorf(problem.TooLarge, "%d queries for %d items each exceed the limit of %d items per answer", q.size(), q.k, mostHits)
	}
	return q, nil
}

// set sets an option from a query parameter, a form part, or the text of a JSON field.
func (q *search) set(name, text string) (err error) {
	switch name {
	case "namespace":
		q.namespace, err = namespaceOf(text)
	case "k":
		if q.k, err = strconv.Atoi(text); err != nil || q.k < 1 || q.k > index.MaxK {
			return problem.Errorf(problem.BadRequest, "k %s: want a whole number from 1 to %d", text, index.MaxK)
		}
	case "filter":
		q.filter, err = filterOf(text)
	case "threshold":
		least, ok := number(text)
		if !ok || !json.Valid([]byte(text)) || least < -1 || least > 1 {
			return problem.Errorf(problem.BadRequest, "threshold %s: want a number from -1 to 1, as in JSON (0.5)", text)
		}
		q.least = &least
	case "exclude":
		q.without, err = idsOf(name, text)
	case "with_metadata":
		var with bool
		with, err = request.Truth(name, text)
		q.bare = !with
	default:
		return request.NoFile(name, options...)
	}
	return err
}
