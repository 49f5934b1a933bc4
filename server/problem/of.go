package problem

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"

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
		return &Error{Busy, "the queue is full, or the answer would come after the deadline", full.After}
	case errors.Is(err, batch.ErrClosed):
		return Stopping
	case errors.As(err, &http413):
		return Errorf(TooLarge, "the body is larger than %d bytes", http413.Limit)
	case errors.Is(err, context.Canceled):
		return Errorf(Gone, "the request was given up")
	case errors.Is(err, context.DeadlineExceeded):
		return Errorf(Late, "the answer was not there in time")
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

// ofIndex translates the errors of an index.
func ofIndex(err error) *Error {
	var item *index.ItemError
	switch {
	case errors.As(err, &item):
		return Errorf(BadRequest, "%v", err)
	case errors.Is(err, index.ErrUnknown):
		return Errorf(UnknownItem, "%v", err)
	case errors.Is(err, index.ErrUnsure):
		return Errorf(Internal, "the change is not in effect, but a restart of the server may bring it into effect; it can be sent again: see the server's log for the request id")
	case errors.Is(err, index.ErrFull):
		return Errorf(NoSpace, "nothing of the request was stored")
	case errors.Is(err, index.ErrModel):
		return Errorf(Mismatch, "%v", err)
	case errors.Is(err, index.ErrClosed):
		return Stopping
	}
	return Errorf(Internal, "see the server's log for the request id")
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
