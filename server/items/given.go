package items

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/url"

	"github.com/labstack/echo/v4"

	"vicreg/server/index"
	"vicreg/server/problem"
	"vicreg/server/request"
)

// given is an item in a request, with either an image or a vector.
type given struct {
	id       string
	image    *request.Image
	vector   []float32
	metadata json.RawMessage
	source   string
	hash     []byte         // SHA-256 of the image, nil if not given
	err      *problem.Error // why it cannot be stored
}

// itemContent is an item in JSON, apart from its id.
type itemContent struct {
	Image    *string         `json:"image"`
	Vector   json.RawMessage `json:"vector"`
	Metadata json.RawMessage `json:"metadata"`
	Source   *string         `json:"source"`
	Hash     *string         `json:"sha256"`
}

// fill copies the JSON into the item; of is the index's binding. Errors are recorded in the item.
func (b *itemContent) fill(g *given, of index.Binding) {
	if there(b.Metadata) {
		g.metadata = b.Metadata
	}
	if b.Source != nil {
		g.source = *b.Source
	}
	if b.Hash != nil {
		if g.hash, g.err = hashOf(*b.Hash); g.err != nil {
			return
		}
	}
	switch {
	case (b.Image != nil) == there(b.Vector):
		g.err = problem.Errorf(problem.BadRequest, "want exactly one of image and vector")
	case b.Image != nil:
		image := request.FromText(*b.Image)
		g.image = &image
	default:
		v, err := vectorOf(b.Vector, of)
		if g.vector = v; err != nil {
			g.err = problem.Errorf(problem.BadRequest, "vector: %v", err)
		}
	}
}

func hashOf(digits string) ([]byte, *problem.Error) {
	sum, err := hex.DecodeString(digits)
	if err != nil || len(sum) != sha256.Size {
		return nil, problem.Errorf(problem.BadRequest, "sha256 %q: want %d hexadecimal digits", digits, 2*sha256.Size)
	}
	return sum, nil
}

// pathID is the id in the request's path. The router passes on the path as it was sent if
// unescaping would lose something, such as an escaped slash, and unescaped otherwise.
func pathID(c echo.Context) (id string, err error) {
	if id = c.Param("id"); c.Request().URL.RawPath != "" {
		if id, err = url.PathUnescape(id); err != nil {
			return "", problem.Errorf(problem.BadRequest, "the id is not URL-escaped: %v", err)
		}
	}
	return id, wellNamed("id", id)
}

// put is a request to PUT /items/{id}.
type put struct {
	namespace string
	given
}

// itemFields are the names of the query parameters, which are also the names of form parts.
var itemFields = []string{"namespace", "metadata", "source"}

// set sets a field from a query parameter or a form part.
func (p *put) set(name, text string) (err error) {
	switch name {
	case "namespace":
		p.namespace, err = namespaceOf(text)
	case "metadata":
		p.metadata = json.RawMessage(text)
	case "source":
		p.source = text
	default:
		return request.NoFile(name, itemFields...)
	}
	return err
}

// readItem reads the parameters and the body of PUT /items/{id}; of is the index's binding. The
// body overrides the parameters.
func (s *Shelf) readItem(c echo.Context, of index.Binding) (p *put, err error) {
	p = &put{namespace: index.DefaultNamespace}
	if p.id, err = pathID(c); err != nil {
		return nil, err
	}
	for _, name := range itemFields {
		if text := c.QueryParam(name); text != "" {
			if err := p.set(name, text); err != nil {
				return nil, err
			}
		}
	}
	err = request.Read(c, request.Taker{
		Image: p.take,
		File:  func(_ *multipart.Part, data []byte) error { return p.take(data) },
		Field: p.set,
		JSON:  func(body io.Reader) error { return p.readJSON(body, of) },
	})
	if err == nil && p.image == nil && p.vector == nil && p.err == nil {
		err = problem.Errorf(problem.BadRequest, "the request contains no image")
	}
	return p, err
}

func (p *put) take(file []byte) error {
	if p.image != nil {
		return problem.Errorf(problem.BadRequest, "the request contains more than one image: use POST /items for several")
	}
	p.image = &request.Image{File: file}
	return nil
}

// readJSON reads the JSON body of PUT /items/{id}.
func (p *put) readJSON(body io.Reader, of index.Binding) error {
	var ask struct {
		Namespace *string `json:"namespace"`
		itemContent
	}
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	if err := request.DecodeOne(d, &ask); err != nil {
		return err
	}
	ask.fill(&p.given, of)
	if ask.Namespace == nil {
		return nil
	}
	return p.set("namespace", *ask.Namespace)
}
