package request

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"vicreg/server/problem"
)

// DecodeOne decodes a body that must be a single JSON value.
func DecodeOne(d *json.Decoder, into any) error {
	if err := d.Decode(into); err != nil {
		return BadJSON(Named(err, into))
	}
	switch _, err := d.Token(); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil && problem.Of(bodyProblem(err)).Code != problem.BadRequest:
		return bodyProblem(err)
	}
	return problem.Errorf(problem.BadRequest, "the body contains more than one JSON value")
}

// BadJSON returns the error that a client gets for JSON that could not be read.
func BadJSON(err error) error {
	if p := problem.Of(bodyProblem(err)); p.Code != problem.BadRequest {
		return p
	}
	return problem.Errorf(problem.BadRequest, "cannot read the JSON: %s", AboutJSON(err))
}

// AboutJSON describes a JSON error in JSON's terms instead of Go's: which field it is, and what was
// expected there.
func AboutJSON(err error) string {
	var kind *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &kind):
		text := fmt.Sprintf("want %s, not %s", wanted(kind.Type), foundIn(kind.Value))
		if field := fieldOf(kind.Field); field != "" {
			text = field + ": " + text
		}
		return text
	case errors.Is(err, io.EOF):
		return "the body is empty"
	case errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &syntax) && syntax.Error() == "unexpected end of JSON input":
		return "it is truncated"
	case errors.As(err, &syntax):
		return fmt.Sprintf("at byte %d, %v", syntax.Offset, syntax)
	}
	return strings.TrimPrefix(err.Error(), "json: ") // an unknown field is named
}

// fieldOf is the path of a field without embedded structs, which JSON does not have: their names
// have capitals, those of request fields do not.
func fieldOf(path string) string {
	var names []string
	for name := range strings.SplitSeq(path, ".") {
		if name == strings.ToLower(name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ".")
}

// wanted names the JSON type that is decoded into t.
func wanted(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[[]string]():
		return "a list of strings"
	case reflect.TypeFor[stringOrList]():
		return "a string or a list of strings"
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	}
	return "a whole number" // the only other kind in requests
}

// stringOrList stands for either a string or a list of strings.
type stringOrList struct{}

// foundIn names the type that encoding/json found instead.
func foundIn(value string) string {
	switch value {
	case "array":
		return "a list"
	case "object":
		return "an object"
	case "bool":
		return "true or false"
	case "null":
		return value
	}
	if n, is := strings.CutPrefix(value, "number "); is {
		return n
	}
	return "a " + value
}

// misfit is the error of a value that is not of type T. The enclosing decoder adds the field's
// name.
func misfit[T any](value string) error {
	return &json.UnmarshalTypeError{Value: value, Type: reflect.TypeFor[T]()}
}

// kindOf names the kind of a JSON value as encoding/json does.
func kindOf(raw []byte) string {
	switch raw[0] {
	case '[':
		return "array"
	case '{':
		return "object"
	case '"':
		return "string"
	case 't', 'f':
		return "bool"
	case 'n':
		return "null"
	}
	return "number"
}
