package server

import (
	"encoding/json"
	"io"

	"github.com/labstack/echo/v4"

	"vicreg/server/problem"
	"vicreg/server/request"
)

// input is what a request asks to have embedded.
type input struct {
	images    []request.Image
	center    bool // before normalize
	normalize bool
	base64    bool // vectors as base64 in JSON
	single    bool // one image as the body itself: its error is the answer's
}

// embedOptions are the names of the parameters, which are those of parts of a form and of
// fields in JSON, too.
var embedOptions = []string{"normalize", "center", "encoding_format"}

// set takes a parameter, a part of a form, or the text of a field.
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

// read takes the parameters and the body of a request for vectors. What the body says
// overrules the parameters.
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
		err = problem.Errorf(problem.BadRequest, "there is no image in the request")
	}
	return in, err
}

// embedFields is what requests in JSON for vectors have in common.
type embedFields struct {
	Normalize  *bool   `json:"normalize"`
	Center     *bool   `json:"center"`
	Encoding   *string `json:"encoding_format"`
	Dimensions *int    `json:"dimensions"`
}

// readJSON takes {"inputs": [...], "normalize": bool, "center": bool, "encoding_format": ...}.
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

// takeTexts takes the images of a JSON body and how their vectors are to be written.
func (s *Server) takeTexts(in *input, list *request.Texts, how embedFields) error {
	if how.Dimensions != nil {
		return problem.Errorf(problem.BadRequest, "dimensions: these vectors cannot be cut")
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
