package server

import (
	"io"
	"mime/multipart"
	"strconv"

	"github.com/labstack/echo/v4"

	"vicreg/server/problem"
)

// input is what a request asks to have embedded.
type input struct {
	images    []source
	normalize bool
	base64    bool // vectors as base64 in JSON
	single    bool // one image as the body itself: its error is the answer's
}

// source is one image as it came, or why it could not be taken.
type source struct {
	file []byte
	err  *problem.Error
}

// read takes the body of a request for vectors.
func (s *Server) read(c echo.Context) (in *input, err error) {
	in = &input{}
	if in.normalize, err = truth("normalize", c.QueryParam("normalize")); err != nil {
		return nil, err
	}
	err = readBody(c, taker{
		image: func(file []byte) error {
			in.images, in.single = []source{{file: file}}, true
			return nil
		},
		file: func(_ *multipart.Part, data []byte) error {
			if in.images = append(in.images, source{file: data}); len(in.images) > s.config.MaxItems {
				return s.tooMany("images")
			}
			return nil
		},
		field: func(name, value string) (err error) {
			if name != "normalize" {
				return noFile(name)
			}
			in.normalize, err = truth(name, value)
			return err
		},
		json: func(body io.Reader) error { return s.readJSON(body, in) },
	})
	if err == nil && len(in.images) == 0 {
		err = problem.Errorf(problem.BadRequest, "there is no image in the request")
	}
	return in, err
}

// truth reads the value of a parameter; "" is false.
func truth(name, text string) (bool, error) {
	if text == "" {
		return false, nil
	}
	v, err := strconv.ParseBool(text)
	if err != nil {
		return false, problem.Errorf(problem.BadRequest, "%s %q: want true or false", name, text)
	}
	return v, nil
}
