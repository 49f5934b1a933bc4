package server

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"vicreg/server/problem"
)

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
	case err != nil && problem.Of(bodyProblem(err)).Code != problem.BadRequest:
		return bodyProblem(err)
	}
	return problem.Errorf(problem.BadRequest, "there is more than one JSON value in the body")
}

// takeTexts takes the images of a JSON body and how their vectors are to be written.
func (s *Server) takeTexts(in *input, list *texts, encoding string, dimensions *int) error {
	switch {
	case dimensions != nil:
		return problem.Errorf(problem.BadRequest, "dimensions: these vectors cannot be cut")
	case encoding != "" && encoding != "float" && encoding != "base64":
		return problem.Errorf(problem.BadRequest, "encoding_format %q: want float or base64", encoding)
	case list.over:
		return s.tooMany("images")
	}
	in.base64 = encoding == "base64"
	in.images = append(in.images, list.sources()...)
	return nil
}

// texts is a list of strings of which no more than most are kept: a body of
// millions of empty ones would else take a hundred times its size.
type texts struct {
	kept  []string
	most  int
	over  bool
	lone  bool // a string alone is a list of one
	given bool // also if it is empty
}

// sources are the images that the texts stand for.
func (in *texts) sources() (images []source) {
	for _, text := range in.kept {
		images = append(images, fromText(text))
	}
	return images
}

// UnmarshalJSON reads the list a string at a time.
func (in *texts) UnmarshalJSON(b []byte) error {
	in.kept, in.over, in.given = nil, false, true
	if in.lone && b[0] == '"' {
		in.kept = make([]string, 1)
		return json.Unmarshal(b, &in.kept[0])
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if open, err := d.Token(); err != nil || open != json.Delim('[') {
		return in.misfit(kindOf(b))
	}
	for d.More() {
		if len(in.kept) == in.most {
			in.over = true
			return nil
		}
		token, err := d.Token()
		text, ok := token.(string)
		if err != nil || !ok {
			return in.misfit("list that has something else in it")
		}
		in.kept = append(in.kept, text)
	}
	return nil
}

func (in *texts) misfit(value string) error {
	if in.lone {
		return misfit[stringOrList](value)
	}
	return misfit[[]string](value)
}

// fromText reads an image from base64 or a data URI.
func fromText(text string) source {
	if rest, isURI := strings.CutPrefix(text, "data:"); isURI {
		_, payload, ok := strings.Cut(rest, ";base64,")
		if !ok {
			return source{err: problem.Errorf(problem.BadImage, "the data URI is not base64")}
		}
		text = payload
	}
	if strings.HasPrefix(text, "http://") || strings.HasPrefix(text, "https://") {
		return source{err: problem.Errorf(problem.BadImage, "addresses are not fetched: send the image itself, in base64")}
	}
	file, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return source{err: problem.Errorf(problem.BadImage, "the image is not base64: %v", err)}
	}
	return source{file: file}
}

func (s *Server) tooMany(what string) *problem.Error {
	return problem.Errorf(problem.TooLarge, "more than %d %s in one request", s.config.MaxItems, what)
}
