// Package problem turns errors into answers: each error has a code, which determines its status and
// title, and is sent in the format of the API that was called: problem+json (RFC 9457), OpenAI's,
// or the Open Inference Protocol's. The text of an internal error is not disclosed.
package problem

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Code names what went wrong with a request; statuses maps it to an HTTP status.
type Code string

// The codes. They are part of the API: clients rely on them.
const (
	BadRequest    Code = "bad-request"
	Unauthorized  Code = "unauthorized"
	Forbidden     Code = "forbidden"
	NotFound      Code = "not-found"
	BadMethod     Code = "method-not-allowed"
	NotAcceptable Code = "not-acceptable"
	SlowBody      Code = "slow-body"
	TooLarge      Code = "too-large"
	BadMediaType  Code = "unsupported-media-type"
	BadImage      Code = "bad-image"
	Busy          Code = "busy"
	Unavailable   Code = "unavailable"
	Late          Code = "deadline-exceeded"
	Gone          Code = "client-gone"
	Internal      Code = "internal"
	NoIndex       Code = "no-index"
	UnknownItem   Code = "unknown-item"
	Mismatch      Code = "model-mismatch"
	NoSpace       Code = "no-space"
)

// statuses maps the codes to HTTP statuses and titles.
var statuses = map[Code]struct {
	status int
	title  string
}{
	BadRequest:    {http.StatusBadRequest, "The request is malformed"},
	Unauthorized:  {http.StatusUnauthorized, "An API key is missing or wrong"},
	Forbidden:     {http.StatusForbidden, "The request may come from another site"},
	NotFound:      {http.StatusNotFound, "There is nothing at this path"},
	BadMethod:     {http.StatusMethodNotAllowed, "The path does not support this method"},
	NotAcceptable: {http.StatusNotAcceptable, "None of the accepted media types is available"},
	SlowBody:      {http.StatusRequestTimeout, "The body took too long to arrive"},
	TooLarge:      {http.StatusRequestEntityTooLarge, "The request is too large"},
	BadMediaType:  {http.StatusUnsupportedMediaType, "The media type of the body is not supported"},
	BadImage:      {http.StatusUnprocessableEntity, "The image cannot be used"},
	Busy:          {http.StatusTooManyRequests, "The server is busy"},
	Unavailable:   {http.StatusServiceUnavailable, "The server is not ready or is shutting down"},
	Late:          {http.StatusGatewayTimeout, "The deadline passed before the answer was ready"},
	Gone:          {499, "The client disconnected before the answer was ready"}, // nginx's status: HTTP has none
	Internal:      {http.StatusInternalServerError, "The server failed"},
	NoIndex:       {http.StatusNotFound, "The server has no index"},
	UnknownItem:   {http.StatusNotFound, "No such item"},
	Mismatch:      {http.StatusConflict, "The index belongs to another model"},
	NoSpace:       {http.StatusInsufficientStorage, "The disk is full"},
}

// Error is an error to be sent to the client.
type Error struct {
	Code   Code
	Detail string
	After  time.Duration // for Retry-After; 0 for none
}

func (p *Error) Error() string { return string(p.Code) + ": " + p.Detail }

// Maximum lengths in bytes: of a whole detail, and of any text that it quotes from the client,
// which could be as long as a body and longer still once quoted.
const (
	mostDetail = 1000
	MostWords  = 200
)

// Errorf returns an error with a code. Strings and errors among args are cut to MostWords bytes.
func Errorf(c Code, format string, args ...any) *Error {
	for i, arg := range args {
		switch arg := arg.(type) {
		case string:
			args[i] = Cut(arg, MostWords)
		case error:
			args[i] = Cut(arg.Error(), MostWords)
		}
	}
	return &Error{Code: c, Detail: Cut(fmt.Sprintf(format, args...), mostDetail)}
}

// Cut shortens a text to at most most bytes and marks the cut with an ellipsis.
func Cut(text string, most int) string {
	const mark = "…"
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-len(mark)], "") + mark
}

// Document is a problem in the format of RFC 9457.
type Document struct {
	Type     string `json:"type"`
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail,omitempty"`
	Instance string `json:"instance,omitempty"` // the request id
}

// Document returns the problem as a document. instance is the request id, or "" for the problem of
// one image among others.
func (p *Error) Document(instance string) Document {
	s := statuses[p.Code]
	return Document{"urn:vicreg:problem:" + string(p.Code), s.title, s.status, p.Detail, instance}
}

// Errors of requests that arrive before the server is ready or after it has begun to stop.
var (
	Loading      = &Error{Unavailable, "the model is being loaded", time.Second}
	LoadingIndex = &Error{Unavailable, "the index is being loaded", time.Second}
	Stopping     = &Error{Unavailable, "the server is shutting down", time.Second}
)
