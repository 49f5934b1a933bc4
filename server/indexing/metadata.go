package indexing

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"vicreg/pipeline/usage"
	"vicreg/server/index"
	"vicreg/server/index/filter"
)

// rows is the content of a metadata file: JSON objects by id.
type rows map[string]json.RawMessage

// keyNames are the default names of the column or member with the id.
var keyNames = []string{"id", "path"}

// readRows reads a metadata file, .csv or .jsonl. key names the column or member with the id; ""
// stands for one of keyNames. Absolute paths in it are made relative to root, as ids are.
func readRows(name, key, root string) (rows, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, usage.Errorf("--metadata: %w", err)
	}
	defer f.Close()
	r := rows{}
	add := func(line int, id string, object json.RawMessage) error {
		id = idOf(id, root)
		switch _, twice := r[id]; {
		case id == "":
			return fmt.Errorf("line %d: the id is empty", line)
		case twice:
			return fmt.Errorf("line %d: %s occurs a second time", line, usage.Printable(id))
		case len(object) > index.MaxMetadata:
			return fmt.Errorf("line %d: %d bytes of metadata are over the limit of %d", line, len(object), index.MaxMetadata)
		}
		if err := filter.CheckMetadata(object); err != nil {
			return fmt.Errorf("line %d: %w", line, err)
		}
		r[id] = object
		return nil
	}
	switch strings.ToLower(filepath.Ext(name)) {
	case ".csv":
		err = readCSV(f, key, add)
	case ".jsonl":
		err = readObjects(f, key, add)
	default:
		err = errors.New("want a name that ends in .csv or .jsonl")
	}
	if err != nil {
		return nil, usage.Errorf("--metadata %s: %w", usage.Printable(name), err)
	}
	return r, nil
}

// idOf normalises an id as it is written: to a path with slashes, relative to root if it is below
// that.
func idOf(written, root string) string {
	if written == "" {
		return ""
	}
	if filepath.IsAbs(written) && root != "" {
		if inside, err := filepath.Rel(root, written); err == nil && filepath.IsLocal(inside) {
			written = inside
		}
	}
	return path.Clean(filepath.ToSlash(written))
}

// readObjects reads one object per line.
func readObjects(f io.Reader, key string, add func(line int, id string, object json.RawMessage) error) error {
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 4*index.MaxMetadata)
	n := 0
	for lines.Scan() {
		n++
		text := bytes.TrimSpace(lines.Bytes())
		if n == 1 {
			text = bytes.TrimPrefix(text, []byte("\ufeff"))
		}
		if len(text) == 0 {
			continue
		}
		id, object, err := takeID(text, key)
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if err := add(n, id, object); err != nil {
			return err
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("line %d: it is longer than %d bytes, and metadata may have at most %d", n+1, 4*index.MaxMetadata, index.MaxMetadata)
	case err != nil:
		return fmt.Errorf("line %d: %w", n+1, err)
	}
	return nil
}

// takeID removes the member with the id from an object and returns both.
func takeID(text []byte, key string) (id string, object json.RawMessage, err error) {
	var members map[string]json.RawMessage
	if !utf8.Valid(text) {
		return "", nil, errNotUTF8
	}
	if err := json.Unmarshal(text, &members); err != nil {
		return "", nil, err
	}
	if name, is := repeated(text); is {
		return "", nil, fmt.Errorf("%q occurs twice", name)
	}
	if members == nil {
		return "", nil, errors.New("null is not an object")
	}
	for _, name := range keyNames {
		if _, there := members[name]; key == "" && there {
			key = name
		}
	}
	value, there := members[key]
	if !there {
		return "", nil, missingKey(key)
	}
	if err := json.Unmarshal(value, &id); err != nil {
		return "", nil, fmt.Errorf("%q is not a string", key)
	}
	delete(members, key)
	object, err = json.Marshal(members)
	return id, object, err
}

// repeated returns a name that two members of an object have, if any. The text must be valid
// JSON.
func repeated(object []byte) (name string, is bool) {
	d := json.NewDecoder(bytes.NewReader(object))
	d.Token() // the bracket
	seen := map[string]bool{}
	for d.More() {
		key, err := d.Token()
		name, is = key.(string)
		var value json.RawMessage
		if err != nil || !is || d.Decode(&value) != nil {
			break
		}
		if seen[name] {
			return name, true
		}
		seen[name] = true
	}
	return "", false
}

func missingKey(key string) error {
	if key == "" {
		return errors.New(`it has neither "id" nor "path"; name the id member with --key NAME`)
	}
	return fmt.Errorf("it has no %q", key)
}

// same reports whether two JSON objects are equal, regardless of order and spacing.
func same(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	x, err := plain(a)
	if err != nil {
		return false
	}
	y, err := plain(b)
	return err == nil && bytes.Equal(x, y)
}

// plain returns an object as encoding/json writes it; empty text is an empty object.
func plain(object json.RawMessage) ([]byte, error) {
	if len(object) == 0 {
		return []byte("{}"), nil
	}
	d := json.NewDecoder(bytes.NewReader(object))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return json.Marshal(v)
}
