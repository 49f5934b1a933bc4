package request

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"

	"vicreg/server/problem"
)

// Image is one image as it was sent, or why it was rejected.
type Image struct {
	File []byte
	Err  *problem.Error
	// Local says that the file comes from this machine's disk, not from a client, so TIFF is
	// allowed.
	Local bool
}

// Texts is a list of strings, of which at most Most are kept: otherwise a body of millions of empty
// strings would take a hundred times its size in memory.
type Texts struct {
	Most int  // must be set before decoding
	Lone bool // a bare string counts as a list of one

	Kept  []string
	Over  bool // there are more than Most
	Given bool // even if it is empty
}

// Images decodes the texts as images.
func (in *Texts) Images() (images []Image) {
	for _, text := range in.Kept {
		images = append(images, FromText(text))
	}
	return images
}

// UnmarshalJSON decodes the list one string at a time.
func (in *Texts) UnmarshalJSON(b []byte) error {
	in.Kept, in.Over, in.Given = nil, false, true
	if in.Lone && b[0] == '"' {
		in.Kept = make([]string, 1)
		return json.Unmarshal(b, &in.Kept[0])
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if open, err := d.Token(); err != nil || open != json.Delim('[') {
		return in.misfit(kindOf(b))
	}
	for d.More() {
		if len(in.Kept) == in.Most {
			in.Over = true
			return nil
		}
		token, err := d.Token()
		text, ok := token.(string)
		if err != nil || !ok {
			return in.misfit("list that contains something else")
		}
		in.Kept = append(in.Kept, text)
	}
	return nil
}

func (in *Texts) misfit(value string) error {
	if in.Lone {
		return misfit[stringOrList](value)
	}
	return misfit[[]string](value)
}

// FromText decodes an image from base64 or a data URI.
func FromText(text string) Image {
	if rest, isURI := strings.CutPrefix(text, "data:"); isURI {
		_, payload, ok := strings.Cut(rest, ";base64,")
		if !ok {
			return Image{Err: problem.Errorf(problem.BadImage, "the data URI is not base64")}
		}
		text = payload
	}
	if strings.HasPrefix(text, "http://") || strings.HasPrefix(text, "https://") {
		return Image{Err: problem.Errorf(problem.BadImage, "URLs are not fetched: send the image itself, in base64")}
	}
	file, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return Image{Err: problem.Errorf(problem.BadImage, "the image is not base64: %v", err)}
	}
	return Image{File: file}
}
