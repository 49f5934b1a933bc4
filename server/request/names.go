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

// Only rejects requests with any other query parameters: otherwise a misspelt filter would match
// everything.
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

// wantOf lists the valid names, and suggests the one closest to name, which is not among them.
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

// nearest is the valid name that name was most likely meant to be, "" if none is close.
func nearest(name string, names []string) string {
	const longest = 64 // longest name compared, in bytes: a body could contain one of megabytes
	if len(name) > longest {
		return ""
	}
	return usage.Closest(name, names)
}

// NoFile is the error of a form part that is neither a file nor one of the fields.
func NoFile(name string, fields ...string) error {
	return problem.Errorf(problem.BadRequest, "part %q is neither a file nor a known field: %s", name, wantOf(name, fields))
}

// Named extends the error of an unknown JSON field with the closest field of into, a pointer to a
// struct.
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

// fieldsOf returns the JSON names of the fields of the struct that into points to.
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
