package request

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"vicreg/pipeline/usage"
	"vicreg/server/problem"
)

// Only refuses requests with other parameters: a filter whose name is misspelt would
// else find everything.
func Only(names ...string) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			for name := range c.QueryParams() {
				if !slices.Contains(names, name) {
					return problem.Errorf(problem.BadRequest, "unknown parameter %q: %s", name, wantOf(name, names))
				}
			}
			return next(c)
		}
	}
}

// wantOf says which names there are, and which of them is most like the one that is not
// among them.
func wantOf(name string, names []string) string {
	if len(names) == 0 {
		return "want none"
	}
	text := "want one of " + strings.Join(names, ", ")
	if near := nearest(name, names); near != "" {
		text += "; did you mean " + near + "?"
	}
	return text
}

// nearest is the name that another was most likely meant to be, "" for none.
func nearest(name string, names []string) string {
	const longest = 64 // bytes of a name that is compared: a body may have one of megabytes
	if len(name) > longest {
		return ""
	}
	return usage.Closest(name, names)
}

// NoFile is the error of a part of a form that is no file, and none of the fields.
func NoFile(name string, fields ...string) error {
	return problem.Errorf(problem.BadRequest, "part %q is no file; of fields %s", name, wantOf(name, fields))
}

// Named adds to the error of a field that is unknown which of those of into, a pointer
// to a struct, it was most likely meant to be.
func Named(err error, into any) error {
	quoted, is := strings.CutPrefix(err.Error(), "json: unknown field ")
	if !is {
		return err
	}
	if near := nearest(strings.Trim(quoted, `"`), fieldsOf(into)); near != "" {
		return fmt.Errorf("%w; did you mean %s?", err, near)
	}
	return err
}

// fieldsOf are the names that JSON has for the fields of what into points to.
func fieldsOf(into any) (names []string) {
	t := reflect.TypeOf(into)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	for _, f := range reflect.VisibleFields(t) {
		if name := f.Tag.Get("json"); name != "" {
			names = append(names, name)
		}
	}
	return names
}
