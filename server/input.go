package server

import (
	"encoding/json"
	"io"
	"mime/multipart"

	"github.com/labstack/echo/v4"

	"vicreg/server/problem"
	"vicreg/server/request"
)

// input is what a request asks to have embedded.
type input struct {
	images    []request.Image
	normalize bool
	base64    bool // vectors as base64 in JSON
	single    bool // one image as the body itself: its error is the answer's
}

// read takes the body of a request for vectors.
func (s *Server) read(c echo.Context) (in *input, err error) {
	in = &input{}
	if in.normalize, err = request.Truth("normalize", c.QueryParam("normalize")); err != nil {
		return nil, err
	}
	err = request.Read(c, request.Taker{
		Image: func(file []byte) error {
			in.images, in.single = []request.Image{{File: file}}, true
			return nil
		},
		File: func(_ *multipart.Part, data []byte) error {
			if in.images = append(in.images, request.Image{File: data}); len(in.images) > s.config.MaxItems {
				return request.TooMany(s.config.MaxItems, "images")
			}
			return nil
		},
		Field: func(name, value string) (err error) {
			if name != "normalize" {
				return request.NoFile(name)
			}
			in.normalize, err = request.Truth(name, value)
			return err
		},
		JSON: func(body io.Reader) error { return s.readJSON(body, in) },
	})
	if err == nil && len(in.images) == 0 {
		err = problem.Errorf(problem.BadRequest, "there is no image in the request")
	}
	return in, err
}

// readJSON takes {"inputs": [...], "normalize": bool, "encoding_format": ...}.
func (s *Server) readJSON(body io.Reader, in *input) error {
	var ask struct {
		Inputs     request.Texts `json:"inputs"`
		Normalize  bool          `json:"normalize"`
		Encoding   string        `json:"encoding_format"`
		Dimensions *int          `json:"dimensions"`
	}
	ask.Inputs.Most = s.config.MaxItems
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	if err := request.DecodeOne(d, &ask); err != nil {
		return err
	}
	in.normalize = in.normalize || ask.Normalize
	return s.takeTexts(in, &ask.Inputs, ask.Encoding, ask.Dimensions)
}

// takeTexts takes the images of a JSON body and how their vectors are to be written.
func (s *Server) takeTexts(in *input, list *request.Texts, encoding string, dimensions *int) error {
	switch {
	case dimensions != nil:
		return problem.Errorf(problem.BadRequest, "dimensions: these vectors cannot be cut")
	case encoding != "" && encoding != "float" && encoding != "base64":
		return problem.Errorf(problem.BadRequest, "encoding_format %q: want float or base64", encoding)
	case list.Over:
		return request.TooMany(s.config.MaxItems, "images")
	}
	in.base64 = encoding == "base64"
	in.images = append(in.images, list.Images()...)
	return nil
}
