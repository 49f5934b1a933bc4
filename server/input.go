package server

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
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

// readJSON takes {"inputs": [...], "normalize": bool, "encoding_format": ...}.
func (s *Server) readJSON(body io.Reader, in *input) error {
	var ask struct {
		Inputs     texts  `json:"inputs"`
		Normalize  bool   `json:"normalize"`
		Encoding   string `json:"encoding_format"`
		Dimensions *int   `json:"dimensions"`
	}
	ask.Inputs.most = s.config.MaxItems
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	if err := decodeOne(d, &ask); err != nil {
		return err
	}
	in.normalize = in.normalize || ask.Normalize
	return s.takeTexts(in, &ask.Inputs, ask.Encoding, ask.Dimensions)
}

// decodeOne reads a body that is one JSON value.
func decodeOne(d *json.Decoder, into any) error {
	if err := d.Decode(into); err != nil {
		return jsonProblem(err)
	}
	switch _, err := d.Token(); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil && asProblem(bodyProblem(err)).code != badRequest:
		return bodyProblem(err)
	}
	return problemf(badRequest, "there is more than one JSON value in the body")
}

// takeTexts takes the images of a JSON body and how their vectors are to be written.
func (s *Server) takeTexts(in *input, list *texts, encoding string, dimensions *int) error {
	switch {
	case dimensions != nil:
		return problemf(badRequest, "dimensions: these vectors cannot be cut")
	case encoding != "" && encoding != "float" && encoding != "base64":
		return problemf(badRequest, "encoding_format %q: want float or base64", encoding)
	case list.over:
		return s.tooMany()
	}
	in.base64 = encoding == "base64"
	for _, text := range list.kept {
		in.images = append(in.images, fromText(text))
	}
	return nil
}

// texts is a list of strings of which no more than most are kept: a body of
// millions of empty ones would else take a hundred times its size.
type texts struct {
	kept []string
	most int
	over bool
	lone bool // a string alone is a list of one
}

var errNoTexts = errors.New("the images are no list of strings")

// UnmarshalJSON reads the list a string at a time.
func (in *texts) UnmarshalJSON(b []byte) error {
	in.kept, in.over = nil, false
	if in.lone && b[0] == '"' {
		in.kept = make([]string, 1)
		return json.Unmarshal(b, &in.kept[0])
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if open, err := d.Token(); err != nil || open != json.Delim('[') {
		return errNoTexts
	}
	for d.More() {
		if len(in.kept) == in.most {
			in.over = true
			return nil
		}
		token, err := d.Token()
		text, ok := token.(string)
		if err != nil || !ok {
			return errNoTexts
		}
		in.kept = append(in.kept, text)
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

func jsonProblem(err error) error {
	if p := asProblem(bodyProblem(err)); p.code != badRequest {
		return p
	}
	return problemf(badRequest, "the JSON cannot be read: %v", err)
}
