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

// Taker is what a request does with a body of each kind.
type Taker struct {
	Image func(file []byte) error                       // as the body itself; nil where that cannot be
	File  func(part *multipart.Part, data []byte) error // in a form
	Field func(name, value string) error                // in a form
	JSON  func(body io.Reader) error
}

// TakeImages is a Taker that puts images into a list, of a form no more than most. Its
// Field and JSON are left to be set.
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

// Read takes the body apart by its media type. An error of the taker ends it.
func Read(c echo.Context, t Taker) error {
	kind, params, err := mime.ParseMediaType(c.Request().Header.Get(echo.HeaderContentType))
	if err != nil {
		return problem.Errorf(problem.BadMediaType, "the Content-Type is missing or malformed: send %s", t.kinds())
	}
	if coding := c.Request().Header.Get(echo.HeaderContentEncoding); coding != "" && coding != "identity" {
		return problem.Errorf(problem.BadMediaType, "Content-Encoding %s: send the body as it is", coding)
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

// IsJSON tells whether the body is JSON by its media type.
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

// readForm takes the parts of a form, and reads the body to its end: before that nobody
// sees the client leave.
func (t Taker) readForm(body io.Reader, boundary string) error {
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
func (t Taker) readParts(r *multipart.Reader) error {
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
			err = t.File(part, data)
		} else {
			err = t.Field(part.FormName(), string(data))
		}
		if err != nil {
			return err
		}
	}
}

// TooMany is the error of a request that has more than most of something.
func TooMany(most int, what string) *problem.Error {
	return problem.Errorf(problem.TooLarge, "more than %d %s in one request", most, what)
}

// Truth reads the value of a parameter; "" is false.
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
