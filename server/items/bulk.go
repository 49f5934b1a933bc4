package items

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"net/http"

	"github.com/labstack/echo/v4"

	"vicreg/server/index"
	"vicreg/server/problem"
	"vicreg/server/request"
)

// bulk is a request to POST /items.
type bulk struct {
	namespace string
	items     []given
}

// postItems answers POST /items once all valid items are on disk.
func (s *Shelf) postItems(c echo.Context, m Model) error {
	of, err := s.binding(m)
	if err != nil {
		return err
	}
	b, err := s.readBulk(c, of)
	if err != nil {
		return err
	}
	rows, err := s.store(c, m, b.namespace, b.items)
	if err != nil {
		return err
	}
	type row struct {
		Index   int               `json:"index"`
		ID      string            `json:"id"`
		Created *bool             `json:"created,omitempty"`
		Error   *problem.Document `json:"error,omitempty"`
	}
	if err := request.Hold(c, int64(len(rows))*(perItem+index.MaxID)); err != nil {
		return err
	}
	data := make([]row, len(rows))
	for i, r := range rows {
		data[i] = row{Index: i, ID: problem.Cut(b.items[i].id, index.MaxID)}
		if r.err != nil {
			d := r.err.Document("")
			data[i].Error = &d
			continue
		}
		data[i].Created = &r.created
	}
	return c.JSON(http.StatusOK, map[string]any{"namespace": b.namespace, "data": data})
}

// readBulk reads the parameters and the body of POST /items; of is the index's binding. The body
// overrides the parameters.
func (s *Shelf) readBulk(c echo.Context, of index.Binding) (b *bulk, err error) {
	b = &bulk{}
	if b.namespace, err = namespaceOf(c.QueryParam("namespace")); err != nil {
		return nil, err
	}
	err = request.Read(c, request.Taker{
		File: func(part *multipart.Part, data []byte) error {
			if len(b.items) == s.config.MaxItems {
				return request.TooMany(s.config.MaxItems, "items")
			}
			b.items = append(b.items, given{id: fullName(part), image: &request.Image{File: data}})
			return nil
		},
		Field: func(name, value string) (err error) {
			if name != "namespace" {
				return request.NoFile(name, "namespace")
			}
			b.namespace, err = namespaceOf(value)
			return err
		},
		JSON: func(body io.Reader) error { return s.readItems(body, b, of) },
	})
	if err == nil && len(b.items) == 0 {
		err = problem.Errorf(problem.BadRequest, "the request contains no item")
	}
	return b, err
}

// fullName is the file name of a part as it was sent, directories included.
func fullName(part *multipart.Part) string {
	_, params, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
	if err != nil {
		return part.FileName()
	}
	return params["filename"]
}

// readItems reads the JSON body of POST /items.
func (s *Shelf) readItems(body io.Reader, b *bulk, of index.Binding) error {
	var ask struct {
		Namespace *string         `json:"namespace"`
		Items     json.RawMessage `json:"items"`
	}
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	err := request.DecodeOne(d, &ask)
	if err == nil && ask.Namespace != nil {
		b.namespace, err = namespaceOf(*ask.Namespace)
	}
	if err != nil || !there(ask.Items) {
		return err
	}
	list := json.NewDecoder(bytes.NewReader(ask.Items))
	list.DisallowUnknownFields()
	if open, err := list.Token(); err != nil || open != json.Delim('[') {
		return problem.Errorf(problem.BadRequest, "items: not a list")
	}
	for list.More() {
		if len(b.items) == s.config.MaxItems {
			return request.TooMany(s.config.MaxItems, "items")
		}
		var one struct {
			ID string `json:"id"`
			itemContent
		}
		if err := list.Decode(&one); err != nil {
			return problem.Errorf(problem.BadRequest, "item %d cannot be read: %s", len(b.items), request.AboutJSON(request.Named(err, &one)))
		}
		g := given{id: one.ID}
		one.fill(&g, of)
		b.items = append(b.items, g)
	}
	return nil
}
