package problem

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"vicreg/server/batch"
	"vicreg/server/index"
)

// Of translates an error into what the client is told. The text of an internal error is left to the
// log.
func Of(err error) *Error {
	var p *Error
	var full *batch.Full
	var http413 *http.MaxBytesError
	var framework *echo.HTTPError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &full):
		return &Error{Busy, "the queue is full, or the answer would miss the deadline", full.After}
	case errors.Is(err, batch.ErrClosed):
		return Stopping
	case errors.As(err, &http413):
		return Errorf(TooLarge, "the body is larger than %d bytes", http413.Limit)
	case errors.Is(err, context.Canceled):
		return Errorf(Gone, "the request was cancelled")
	case errors.Is(err, context.DeadlineExceeded):
		return Errorf(Late, "the answer was not ready in time")
	case errors.As(err, &framework):
		return ofRoute(framework)
	}
	return ofIndex(err)
}

// ofRoute translates the framework's own errors. Several codes share status 404; here it is the one
// for paths.
func ofRoute(e *echo.HTTPError) *Error {
	switch e.Code {
	case http.StatusNotFound:
		return Errorf(NotFound, "%v", e.Message)
	case http.StatusMethodNotAllowed:
		return Errorf(BadMethod, "%v", e.Message)
	}
	return Errorf(Internal, "%v", e.Message)
}

// OfRequest is Of for a request that is answered with the error. Where the router refused it, the
// detail says what it should be.
func OfRequest(c echo.Context, err error) *Error {
	p := Of(err)
	var framework *echo.HTTPError
	if !errors.As(err, &framework) {
		return p
	}
	path := c.Request().URL.Path
	switch p.Code {
	case NotFound:
		if escaped := escapedID(path); escaped != "" {
			return Errorf(NotFound, "the slashes of an id are escaped: %s", escaped)
		}
		return Errorf(NotFound, "nothing is at %s: /docs lists the paths of the API", path)
	case BadMethod:
		return Errorf(BadMethod, "%s does not take %s: use %s", path, c.Request().Method, methods(c.Response().Header().Get(echo.HeaderAllow)))
	}
	return p
}

// escapedID returns the path of an item, whose id was sent with plain slashes, as it should be; ""
// for other paths.
func escapedID(path string) string {
	id, is := strings.CutPrefix(path, "/items/")
	id, thumbnail := strings.CutSuffix(id, "/thumbnail")
	if !is || !strings.Contains(id, "/") {
		return ""
	}
	escaped := "/items/" + url.PathEscape(id)
	if thumbnail {
		escaped += "/thumbnail"
	}
	return escaped
}

// methods words the header Allow. The router adds OPTIONS, which is of no use to who wanted another.
func methods(allow string) string {
	names := slices.DeleteFunc(strings.Split(allow, ", "), func(name string) bool { return name == http.MethodOptions })
	last := len(names) - 1
	if last < 1 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// ofIndex translates the errors of an index.
func ofIndex(err error) *Error {
	var item *index.ItemError
	switch {
	case errors.As(err, &item):
		return Errorf(BadRequest, "%v", err)
	case errors.Is(err, index.ErrUnknown):
		return Errorf(UnknownItem, "%v", err)
	case errors.Is(err, index.ErrUnsure):
		return Errorf(Internal, "the change is not in effect, but a restart of the server may bring it into effect; it can be sent again: look up the request id in the server's log")
	case errors.Is(err, index.ErrFull):
		return Errorf(NoSpace, "nothing in the request was stored")
	case errors.Is(err, index.ErrModel):
		return Errorf(Mismatch, "%v", err)
	case errors.Is(err, index.ErrClosed):
		return Stopping
	}
	return Errorf(Internal, "look up the request id in the server's log")
}

// Panic is a recovered panic as an error.
type Panic struct {
	Value any
	Stack []byte
}

func (p *Panic) Error() string { return fmt.Sprintf("panic: %v\n%s", p.Value, p.Stack) }

// Caught turns a panic into *err. It must be deferred directly.
func Caught(err *error) {
	if r := recover(); r != nil {
		*err = &Panic{r, debug.Stack()}
	}
}
