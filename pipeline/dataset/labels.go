package dataset

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"strings"
)

// Size limits of members that may hold a label, in bytes.
const (
	maxLabel = 1 << 10
	maxJSON  = 1 << 20
)

// labels are the image labels in the members of a tar file. An image's label is its .cls member
// (the member with the same name up to the first dot); failing that "label" or else "cls", a string
// or a number, of the object in its .json member; else its first folder. A .json member that is
// malformed, over 1 MiB, or without such a field, as with captions, is ignored: most training runs
// have no use for labels.
type labels struct {
	classes, objects map[string]string // by stem
}

// read reads a .cls or .json member of the given size.
func (l *labels) read(member string, r io.Reader, size int64) error {
	if l.classes == nil {
		l.classes, l.objects = map[string]string{}, map[string]string{}
	}
	isObject := path.Ext(member) == ".json"
	if isObject && size > maxJSON {
		return nil
	}
	if !isObject && size > maxLabel {
		return fmt.Errorf("a label of %d bytes is over the limit of %d", size, maxLabel)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return cut(err, 0)
	}
	if !isObject {
		l.classes[stem(member)] = strings.TrimSpace(string(text))
	} else if label, ok := labelIn(text); ok {
		l.objects[stem(member)] = label
	}
	return nil
}

// labelIn returns the label in a JSON object, with numbers as written there.
func labelIn(object []byte) (label string, ok bool) {
	var members map[string]json.RawMessage // a struct would match "Label", too
	if json.Unmarshal(bytes.TrimPrefix(object, []byte("\ufeff")), &members) != nil {
		return "", false
	}
	for _, name := range []string{"label", "cls"} {
		text := members[name]
		var number json.Number
		switch {
		case len(text) == 0 || string(text) == "null":
		case text[0] == '"' && json.Unmarshal(text, &label) == nil && len(label) <= maxLabel:
			if label = strings.TrimSpace(label); label != "" {
				return label, true
			}
		case text[0] != '"' && json.Unmarshal(text, &number) == nil && len(number) <= maxLabel:
			return number.String(), true
		}
	}
	return "", false
}

// of returns the label of an image.
func (l *labels) of(member string) string {
	if label, ok := l.classes[stem(member)]; ok {
		return label
	}
	if label, ok := l.objects[stem(member)]; ok {
		return label
	}
	label, _, nested := strings.Cut(member, "/")
	if !nested {
		return ""
	}
	return label
}

// stem is what WebDataset calls the key of a member: its name up to the first dot.
func stem(member string) string {
	folder, base := path.Split(member)
	base, _, _ = strings.Cut(base, ".")
	return folder + base
}
