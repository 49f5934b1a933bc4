// Package problem is how errors leave the server: each has a code, from which follow its
// status and title, and goes to the client in the form of the API that was asked: as
// problem+json (RFC 9457), as OpenAI's clients read it, or as the Open Inference Protocol
// has it. What is the server's own fault is not told in its own words.
package problem

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Code names what went wrong with a request; statuses says how HTTP calls it.
type Code string

// The codes. Clients know them: they are part of the API.
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

// statuses is the one table from codes to HTTP statuses and titles.
var statuses = map[Code]struct {
	status int
	title  string
}{
	BadRequest:    {http.StatusBadRequest, "The request is malformed"},
	Unauthorized:  {http.StatusUnauthorized, "An API key is missing or wrong"},
	Forbidden:     {http.StatusForbidden, "The request may be another site's"},
	NotFound:      {http.StatusNotFound, "There is nothing at this path"},
	BadMethod:     {http.StatusMethodNotAllowed, "The path does not take this method"},
	NotAcceptable: {http.StatusNotAcceptable, "None of the accepted media types is on offer"},
	SlowBody:      {http.StatusRequestTimeout, "The body took too long to arrive"},
	TooLarge:      {http.StatusRequestEntityTooLarge, "The request is too large"},
	BadMediaType:  {http.StatusUnsupportedMediaType, "The media type of the body is not supported"},
	BadImage:      {http.StatusUnprocessableEntity, "The image cannot be used"},
	Busy:          {http.StatusTooManyRequests, "The server is busy"},
	Unavailable:   {http.StatusServiceUnavailable, "The server is not ready or is shutting down"},
	Late:          {http.StatusGatewayTimeout, "The deadline passed before the answer was there"},
	Gone:          {499, "The client left before the answer was there"}, // nginx's number: HTTP has none
	Internal:      {http.StatusInternalServerError, "The server failed"},
	NoIndex:       {http.StatusNotFound, "The server has no index"},
	UnknownItem:   {http.StatusNotFound, "There is no such item"},
	Mismatch:      {http.StatusConflict, "The index belongs to another model"},
	NoSpace:       {http.StatusInsufficientStorage, "The disk is full"},
}

// Error is an error that goes to the client.
type Error struct {
	Code   Code
	Detail string
	After  time.Duration // for Retry-After; 0 for none
}

func (p *Error) Error() string { return string(p.Code) + ": " + p.Detail }

// What an error says at the most, and repeats of a client's own words, in bytes. Those
// may be as long as a body, and quoted are longer than it.
const (
	mostDetail = 1000
	MostWords  = 200
)

// Errorf is an error of a code. Of the texts and errors among args no more than MostWords
// bytes are repeated.
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

// Cut shortens a text that is longer than most bytes, and shows where.
func Cut(text string, most int) string {
	const mark = "…"
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-len(mark)], "") + mark
}

// Document is a problem as RFC 9457 writes it.
type Document struct {
	Type     string `json:"type"`
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail,omitempty"`
	Instance string `json:"instance,omitempty"` // the id of the request
}

// Document is the problem of the request with the id instance, "" for that of one image
// among others.
func (p *Error) Document(instance string) Document {
	s := statuses[p.Code]
	return Document{"urn:vicreg:problem:" + string(p.Code), s.title, s.status, p.Detail, instance}
}

// Errors of requests that come too early and too late.
var (
	Loading      = &Error{Unavailable, "the model is being loaded", time.Second}
	LoadingIndex = &Error{Unavailable, "the index is being loaded", time.Second}
	Stopping     = &Error{Unavailable, "the server is shutting down", time.Second}
)
