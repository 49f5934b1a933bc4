package server

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"strings"

	"github.com/labstack/echo/v4"

	"vicreg/server/problem"
)

// taker is what a request does with a body of each kind.
type taker struct {
	image func(file []byte) error                       // as the body itself; nil where that cannot be
	file  func(part *multipart.Part, data []byte) error // in a form
	field func(name, value string) error                // in a form
	json  func(body io.Reader) error
}

// readBody takes the body apart by its media type.
func readBody(c echo.Context, t taker) error {
	kind, params, err := mime.ParseMediaType(c.Request().Header.Get(echo.HeaderContentType))
	if err != nil {
		return problem.Errorf(problem.BadMediaType, "the Content-Type is missing or malformed: send %s", t.kinds())
	}
	if coding := c.Request().Header.Get(echo.HeaderContentEncoding); coding != "" && coding != "identity" {
		return problem.Errorf(problem.BadMediaType, "Content-Encoding %s: send the body as it is", coding)
	}
	switch {
	case t.image != nil && (strings.HasPrefix(kind, "image/") || kind == "application/octet-stream"):
		file, err := whole(c.Request())
		if err != nil {
			return err
		}
		return t.image(file)
	case kind == "multipart/form-data":
		return t.readForm(c.Request().Body, params["boundary"])
	case kind == "application/json":
		return t.json(c.Request().Body)
	}
	return problem.Errorf(problem.BadMediaType, "%s: send %s", kind, t.kinds())
}

func isJSON(c echo.Context) bool {
	kind, _, _ := mime.ParseMediaType(c.Request().Header.Get(echo.HeaderContentType))
	return kind == "application/json"
}

func (t taker) kinds() string {
	if t.image == nil {
		return "multipart/form-data or application/json"
	}
	return "an image, multipart/form-data or application/json"
}

// readForm takes the parts of a form, and reads the body to its end: before that nobody
// sees the client leave.
func (t taker) readForm(body io.Reader, boundary string) error {
	end := &tail{r: body}
	if err := t.readParts(multipart.NewReader(end, boundary)); err != nil {
		return err
	}
	if !bytes.Contains(end.last, []byte("--"+boundary+"--")) {
		return problem.Errorf(problem.BadRequest, "the body cannot be read: it ends before its last boundary")
	}
	if _, err := io.Copy(io.Discard, body); err != nil {
		return bodyProblem(err)
	}
	return nil
}

// readParts takes every part, in order. Nothing is put on the disk.
func (t taker) readParts(r *multipart.Reader) error {
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
		if part.FileName() != "" {
			err = t.file(part, data)
		} else {
			err = t.field(part.FormName(), string(data))
		}
		if err != nil {
			return err
		}
	}
}

func noFile(name string) error { return problem.Errorf(problem.BadRequest, "part %q is no file", name) }

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
