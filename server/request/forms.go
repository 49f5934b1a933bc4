package request

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"vicreg/server/problem"
)

// Taker holds a request's callbacks for each kind of body.
type Taker struct {
	Image func(file []byte) error                       // the body itself; nil if not supported
	File  func(part *multipart.Part, data []byte) error // a file in a form
	Field func(name, value string) error                // a field in a form
	JSON  func(body io.Reader) error
}

// TakeImages returns a Taker that appends images to a list, at most most of them from a form. The
// caller has to set its Field and JSON.
func TakeImages(into *[]Image, most int) Taker {
	return Taker{
		Image: func(file []byte) error {
			*into = []Image{{File: file}}
			return nil
		},
		File: func(_ *multipart.Part, data []byte) error {
			if *into = append(*into, Image{File: data}); len(*into) > most {
				return TooMany(most, "images")
			}
			return nil
		},
	}
}

// Read parses the body according to its media type. It stops at the first error of the Taker.
func Read(c echo.Context, t Taker) error {
	kind, params, err := mime.ParseMediaType(c.Request().Header.Get(echo.HeaderContentType))
	if err != nil {
		return problem.Errorf(problem.BadMediaType, "the Content-Type is missing or malformed: send %s", t.kinds())
	}
	if coding := c.Request().Header.Get(echo.HeaderContentEncoding); coding != "" && coding != "identity" {
		return problem.Errorf(problem.BadMediaType, "Content-Encoding %s is not supported: send the body unencoded", coding)
	}
	switch {
	case t.Image != nil && (strings.HasPrefix(kind, "image/") || kind == "application/octet-stream"):
		file, err := Whole(c.Request())
		if err != nil {
			return err
		}
		return t.Image(file)
	case kind == "multipart/form-data":
		return t.readForm(c.Request().Body, params["boundary"])
	case kind == "application/json":
		return t.JSON(c.Request().Body)
	}
	return problem.Errorf(problem.BadMediaType, "%s: send %s", kind, t.kinds())
}

// IsJSON reports whether the body's media type is JSON.
func IsJSON(c echo.Context) bool {
	kind, _, _ := mime.ParseMediaType(c.Request().Header.Get(echo.HeaderContentType))
	return kind == "application/json"
}

func (t Taker) kinds() string {
	if t.Image == nil {
		return "multipart/form-data or application/json"
	}
	return "an image, multipart/form-data or application/json"
}

// readForm reads the parts of a form, and the body to its end: only then does the server notice the
// client disconnecting.
func (t Taker) readForm(body io.Reader, boundary string) error {
	end := &tail{r: body}
	if err := t.readParts(multipart.NewReader(end, boundary)); err != nil {
		return err
	}
	if !bytes.Contains(end.last, []byte("--"+boundary+"--")) {
		return problem.Errorf(problem.BadRequest, "cannot read the body: it ends before its last boundary")
	}
	if _, err := io.Copy(io.Discard, body); err != nil {
		return bodyProblem(err)
	}
	return nil
}

// readParts passes on every part, in order. Nothing is written to disk.
func (t Taker) readParts(r *multipart.Reader) error {
	for {
		part, err := r.NextPart()
		if err == io.EOF { // a wrapped EOF means a truncated body; a bare one can mean that too: see tail
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
			err = t.File(part, data)
		} else {
			err = t.Field(part.FormName(), string(data))
		}
		if err != nil {
			return err
		}
	}
}

// TooMany is the error of a request with more than most of something.
func TooMany(most int, what string) *problem.Error {
	return problem.Errorf(problem.TooLarge, "more than %d %s in one request", most, what)
}

// Truth parses a boolean parameter; "" is false.
func Truth(name, text string) (bool, error) {
	if text == "" {
		return false, nil
	}
	v, err := strconv.ParseBool(text)
	if err != nil {
		return false, problem.Errorf(problem.BadRequest, "%s %q: want true or false", name, text)
	}
	return v, nil
}

// tail keeps the end of what is read. It shows whether a form is complete or was cut off between
// two parts: the multipart reader returns EOF in both cases.
type tail struct {
	r    io.Reader
	last []byte
}

// kept exceeds the length of a boundary plus the multipart reader's read-ahead.
const kept = 8 << 10

func (t *tail) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.last = append(t.last, p[:n]...)
	t.last = t.last[max(0, len(t.last)-kept):]
	return n, err
}
