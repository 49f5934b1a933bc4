package server

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"os"
	"strings"

	"github.com/labstack/echo/v4"
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
	err  *problem
}

// read takes the body apart by its media type.
func (s *Server) read(c echo.Context) (*input, error) {
	kind, params, err := mime.ParseMediaType(c.Request().Header.Get(echo.HeaderContentType))
	if err != nil {
		return nil, problemf(badMediaType, "the Content-Type is missing or malformed: send an image, multipart/form-data or application/json")
	}
	in := &input{normalize: c.QueryParam("normalize") == "true"}
	switch {
	case strings.HasPrefix(kind, "image/"), kind == "application/octet-stream":
		file, err := io.ReadAll(c.Request().Body)
		if err != nil {
			return nil, bodyProblem(err)
		}
		in.images, in.single = []source{{file: file}}, true
		return in, nil
	case kind == "multipart/form-data":
		err = s.readParts(multipart.NewReader(c.Request().Body, params["boundary"]), in)
	case kind == "application/json":
		err = s.readJSON(c.Request().Body, in)
	default:
		return nil, problemf(badMediaType, "%s: send an image, multipart/form-data or application/json", kind)
	}
	if err == nil && len(in.images) == 0 {
		err = problemf(badRequest, "there is no image in the request")
	}
	return in, err
}

// readParts takes every part that is a file, in order. Nothing is put on the disk.
func (s *Server) readParts(r *multipart.Reader, in *input) error {
	for {
		part, err := r.NextPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return bodyProblem(err)
		}
		data, err := io.ReadAll(part)
		if err != nil {
			return bodyProblem(err)
		}
		switch {
		case part.FileName() != "":
			if in.images = append(in.images, source{file: data}); len(in.images) > s.config.MaxItems {
				return s.tooMany()
			}
		case part.FormName() == "normalize":
			in.normalize = string(data) == "true"
		default:
			return problemf(badRequest, "part %q is no file", part.FormName())
		}
	}
}

// readJSON takes {"inputs": [...], "normalize": bool, "encoding_format": ...}.
func (s *Server) readJSON(body io.Reader, in *input) error {
	var ask struct {
		Inputs     []string `json:"inputs"`
		Normalize  bool     `json:"normalize"`
		Encoding   string   `json:"encoding_format"`
		Dimensions *int     `json:"dimensions"`
	}
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	if err := d.Decode(&ask); err != nil {
		return jsonProblem(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return problemf(badRequest, "there is more than one JSON value in the body")
	}
	switch {
	case ask.Dimensions != nil:
		return problemf(badRequest, "dimensions: these vectors cannot be cut")
	case ask.Encoding != "" && ask.Encoding != "float" && ask.Encoding != "base64":
		return problemf(badRequest, "encoding_format %q: want float or base64", ask.Encoding)
	case len(ask.Inputs) > s.config.MaxItems:
		return s.tooMany()
	}
	in.normalize, in.base64 = in.normalize || ask.Normalize, ask.Encoding == "base64"
	for _, text := range ask.Inputs {
		in.images = append(in.images, fromText(text))
	}
	return nil
}

// fromText reads an image from base64 or a data URI.
func fromText(text string) source {
	if rest, isURI := strings.CutPrefix(text, "data:"); isURI {
		_, payload, ok := strings.Cut(rest, ";base64,")
		if !ok {
			return source{err: problemf(badImage, "the data URI is not base64")}
		}
		text = payload
	}
	if strings.HasPrefix(text, "http://") || strings.HasPrefix(text, "https://") {
		return source{err: problemf(badImage, "addresses are not fetched: send the image itself, in base64")}
	}
	file, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return source{err: problemf(badImage, "the image is not base64: %v", err)}
	}
	return source{file: file}
}

func (s *Server) tooMany() *problem {
	return problemf(tooLarge, "more than %d images in one request", s.config.MaxItems)
}

// bodyProblem says why a body could not be read.
func bodyProblem(err error) error {
	var timeout net.Error
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return problemf(slowBody, "the body did not arrive in time")
	case asProblem(err).code == internal:
		return problemf(badRequest, "the body cannot be read: %v", err)
	}
	return err
}

func jsonProblem(err error) error {
	if p := asProblem(bodyProblem(err)); p.code != badRequest {
		return p
	}
	return problemf(badRequest, "the JSON cannot be read: %v", err)
}
