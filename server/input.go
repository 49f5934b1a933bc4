package server

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"strconv"
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
	if coding := c.Request().Header.Get(echo.HeaderContentEncoding); coding != "" && coding != "identity" {
		return nil, problemf(badMediaType, "Content-Encoding %s: send the body as it is", coding)
	}
	in := &input{}
	if in.normalize, err = truth(c.QueryParam("normalize")); err != nil {
		return nil, err
	}
	switch {
	case strings.HasPrefix(kind, "image/"), kind == "application/octet-stream":
		file, err := whole(c.Request())
		if err != nil {
			return nil, err
		}
		in.images, in.single = []source{{file: file}}, true
		return in, nil
	case kind == "multipart/form-data":
		err = s.readForm(c.Request().Body, params["boundary"], in)
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

// readForm takes the files of a form, and reads the body to its end: before that nobody
// sees the client leave.
func (s *Server) readForm(body io.Reader, boundary string, in *input) error {
	end := &tail{r: body}
	if err := s.readParts(multipart.NewReader(end, boundary), in); err != nil {
		return err
	}
	if !bytes.Contains(end.last, []byte("--"+boundary+"--")) {
		return problemf(badRequest, "the body cannot be read: it ends before its last boundary")
	}
	if _, err := io.Copy(io.Discard, body); err != nil {
		return bodyProblem(err)
	}
	return nil
}

// readParts takes every part that is a file, in order. Nothing is put on the disk.
func (s *Server) readParts(r *multipart.Reader, in *input) error {
	for {
		part, err := r.NextPart()
		if err == io.EOF { // wrapped it means that the body ends too early, and sometimes so, too: see tail
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
			if in.normalize, err = truth(string(data)); err != nil {
				return err
			}
		default:
			return problemf(badRequest, "part %q is no file", part.FormName())
		}
	}
}

// tail keeps the end of what is read, by which a form that was cut off between two
// parts is told from a whole one: its reader ends in the same way.
type tail struct {
	r    io.Reader
	last []byte
}

// kept is more than a boundary and what a reader takes ahead of it.
const kept = 8 << 10

func (t *tail) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.last = append(t.last, p[:n]...)
	t.last = t.last[max(0, len(t.last)-kept):]
	return n, err
}

// truth reads the value of normalize; "" is false.
func truth(text string) (bool, error) {
	if text == "" {
		return false, nil
	}
	v, err := strconv.ParseBool(text)
	if err != nil {
		return false, problemf(badRequest, "normalize %q: want true or false", text)
	}
	return v, nil
}
