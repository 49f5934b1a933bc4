package server

import (
	"encoding/json"
	"io"

	"github.com/labstack/echo/v4"

	"vicreg/server/problem"
	"vicreg/server/request"
)

// input is a parsed request for vectors.
type input struct {
	images    []request.Image
	center    bool // applied before normalize
	normalize bool
	base64    bool // vectors in JSON as base64
	single    bool // the body itself is the one image: its error fails the whole request
}

// embedOptions are the names of the query parameters, which are also the names of form parts and of
// JSON fields.
var embedOptions = []string{"normalize", "center", "encoding_format"}

// set sets an option from a query parameter, a form part, or the text of a JSON field.
func (in *input) set(name, text string) (err error) {
	switch name {
	case "normalize":
		in.normalize, err = request.Truth(name, text)
	case "center":
		in.center, err = request.Truth(name, text)
	case "encoding_format":
		if text != "" && text != "float" && text != "base64" {
			return problem.Errorf(problem.BadRequest, "encoding_format %q: want float or base64", text)
		}
		in.base64 = text == "base64"
	default:
		return request.NoFile(name, embedOptions...)
	}
	return err
}

// read reads the parameters and the body of a request for vectors. The body overrides the
// parameters.
func (s *Server) read(c echo.Context) (in *input, err error) {
	in = &input{}
	for _, name := range embedOptions {
		if err := in.set(name, c.QueryParam(name)); err != nil {
			return nil, err
		}
	}
	take := request.TakeImages(&in.images, s.config.MaxItems)
	alone := take.Image
	take.Image = func(file []byte) error {
		in.single = true
		return alone(file)
	}
	take.Field, take.JSON = in.set, func(body io.Reader) error { return s.readJSON(body, in) }
	err = request.Read(c, take)
	if err == nil && len(in.images) == 0 {
		err = problem.Errorf(problem.BadRequest, "the request contains no image")
	}
	return in, err
}

// embedFields are the options that all JSON requests for vectors share.
type embedFields struct {
	Normalize  *bool   `json:"normalize"`
	Center     *bool   `json:"center"`
	Encoding   *string `json:"encoding_format"`
	Dimensions *int    `json:"dimensions"`
}

// readJSON reads {"inputs": [...], "normalize": bool, "center": bool, "encoding_format": ...}.
func (s *Server) readJSON(body io.Reader, in *input) error {
	var ask struct {
		Inputs request.Texts `json:"inputs"`
		embedFields
	}
	ask.Inputs.Most = s.config.MaxItems
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	if err := request.DecodeOne(d, &ask); err != nil {
		return err
	}
	return s.takeTexts(in, &ask.Inputs, ask.embedFields)
}

// takeTexts adds the images and the options of a JSON body to the input.
func (s *Server) takeTexts(in *input, list *request.Texts, how embedFields) error {
	if how.Dimensions != nil {
		return problem.Errorf(problem.BadRequest, "dimensions: these vectors cannot be shortened")
	}
	if how.Encoding != nil {
		if err := in.set("encoding_format", *how.Encoding); err != nil {
			return err
		}
	}
	if how.Normalize != nil {
		in.normalize = *how.Normalize
	}
	if how.Center != nil {
		in.center = *how.Center
	}
	if list.Over {
		return request.TooMany(s.config.MaxItems, "images")
	}
	in.images = append(in.images, list.Images()...)
	return nil
}
