package items

import (
	"encoding/json"
	"io"

	"vicreg/server/index"
	"vicreg/server/problem"
	"vicreg/server/request"
)

// searchBody is the JSON body of POST /similar.
type searchBody struct {
	Inputs       request.Texts   `json:"inputs"`
	ID           *string         `json:"id"`
	IDs          request.Texts   `json:"ids"`
	Vector       json.RawMessage `json:"vector"`
	Vectors      json.RawMessage `json:"vectors"`
	Namespace    *string         `json:"namespace"`
	K            json.RawMessage `json:"k"`
	Filter       json.RawMessage `json:"filter"`
	Threshold    json.RawMessage `json:"threshold"`
	WithMetadata json.RawMessage `json:"with_metadata"`
	Exclude      json.RawMessage `json:"exclude"`
}

// readSearchJSON reads the JSON body of POST /similar; of is the index's binding.
func (s *Shelf) readSearchJSON(body io.Reader, q *search, of index.Binding) error {
	ask := searchBody{Inputs: request.Texts{Most: s.config.MaxItems}, IDs: request.Texts{Most: s.config.MaxItems}}
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	if err := request.DecodeOne(d, &ask); err != nil {
		return err
	}
	if err := ask.options(q); err != nil {
		return err
	}
	return s.takeQueries(&ask, q, of)
}

// options sets the options, which are parsed like query parameters.
func (b *searchBody) options(q *search) error {
	if b.Namespace != nil {
		if err := q.set("namespace", *b.Namespace); err != nil {
			return err
		}
	}
	for _, o := range []struct {
		name  string
		value json.RawMessage
	}{{"k", b.K}, {"filter", b.Filter}, {"threshold", b.Threshold}, {"with_metadata", b.WithMetadata}, {"exclude", b.Exclude}} {
		if !there(o.value) {
			continue
		}
		if err := q.set(o.name, string(o.value)); err != nil {
			return err
		}
	}
	return nil
}

// takeQueries reads the queries, which must be of exactly one kind.
func (s *Shelf) takeQueries(b *searchBody, q *search, of index.Binding) (err error) {
	kinds := 0
	for _, is := range []bool{b.Inputs.Given, b.ID != nil, b.IDs.Given, there(b.Vector), there(b.Vectors)} {
		if is {
			kinds++
		}
	}
	switch {
	case kinds != 1:
		return problem.Errorf(problem.BadRequest, "want exactly one of inputs, id, ids, vector and vectors")
	case b.Inputs.Over:
		return request.TooMany(s.config.MaxItems, "images")
	case b.IDs.Over:
		return request.TooMany(s.config.MaxItems, "ids")
	case b.ID != nil:
		q.ids = []string{*b.ID}
	case there(b.Vector):
		q.vectors = make([][]float32, 1)
		if q.vectors[0], err = vectorOf(b.Vector, of); err != nil {
			return problem.Errorf(problem.BadRequest, "vector: %v", err)
		}
	case there(b.Vectors):
		q.vectors, err = s.vectorsOf(b.Vectors, of)
	default:
		q.images, q.ids = b.Inputs.Images(), b.IDs.Kept
	}
	return err
}
