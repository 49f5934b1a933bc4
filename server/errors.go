package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"vicreg/server/batch"
	"vicreg/server/index"
)

// code names what went wrong with a request; statuses says how HTTP calls it.
type code string

const (
	badRequest    code = "bad-request"
	unauthorized  code = "unauthorized"
	notFound      code = "not-found"
	badMethod     code = "method-not-allowed"
	notAcceptable code = "not-acceptable"
	slowBody      code = "slow-body"
	tooLarge      code = "too-large"
	badMediaType  code = "unsupported-media-type"
	badImage      code = "bad-image"
	busy          code = "busy"
	unavailable   code = "unavailable"
	late          code = "deadline-exceeded"
	gone          code = "client-gone"
	internal      code = "internal"
	noIndex       code = "no-index"
	unknownItem   code = "unknown-item"
	mismatch      code = "model-mismatch"
	noSpace       code = "no-space"
)

// statuses is the one table from codes to HTTP statuses and titles.
var statuses = map[code]struct {
	status int
	title  string
}{
	badRequest:    {http.StatusBadRequest, "The request is malformed"},
	unauthorized:  {http.StatusUnauthorized, "An API key is missing or wrong"},
	notFound:      {http.StatusNotFound, "There is nothing at this path"},
	badMethod:     {http.StatusMethodNotAllowed, "The path does not take this method"},
	notAcceptable: {http.StatusNotAcceptable, "None of the accepted media types is on offer"},
	slowBody:      {http.StatusRequestTimeout, "The body took too long to arrive"},
	tooLarge:      {http.StatusRequestEntityTooLarge, "The request is too large"},
	badMediaType:  {http.StatusUnsupportedMediaType, "The media type of the body is not supported"},
	badImage:      {http.StatusUnprocessableEntity, "The image cannot be used"},
	busy:          {http.StatusTooManyRequests, "The server is busy"},
	unavailable:   {http.StatusServiceUnavailable, "The server is not ready or is shutting down"},
	late:          {http.StatusGatewayTimeout, "The deadline passed before the answer was there"},
	gone:          {499, "The client left before the answer was there"}, // nginx's number: HTTP has none
	internal:      {http.StatusInternalServerError, "The server failed"},
	noIndex:       {http.StatusNotFound, "The server has no index"},
	unknownItem:   {http.StatusNotFound, "There is no such item"},
	mismatch:      {http.StatusConflict, "The index belongs to another model"},
	noSpace:       {http.StatusInsufficientStorage, "The disk is full"},
}

// problem is an error that goes to the client.
type problem struct {
	code   code
	detail string
	after  time.Duration // for Retry-After; 0 for none
}

func (p *problem) Error() string { return string(p.code) + ": " + p.detail }

// What an error says at the most, and repeats of a client's own words, in bytes. Those
// may be as long as a body, and quoted are longer than it.
const (
	mostDetail = 1000
	mostWords  = 200
)

func problemf(c code, format string, args ...any) *problem {
	for i, arg := range args {
		switch arg := arg.(type) {
		case string:
			args[i] = cut(arg, mostWords)
		case error:
			args[i] = cut(arg.Error(), mostWords)
		}
	}
	return &problem{code: c, detail: cut(fmt.Sprintf(format, args...), mostDetail)}
}

// cut shortens a text that is longer than most bytes, and shows where.
func cut(text string, most int) string {
	const mark = "…"
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-len(mark)], "") + mark
}

// document is a problem as RFC 9457 writes it.
type document struct {
	Type     string `json:"type"`
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail,omitempty"`
	Instance string `json:"instance,omitempty"` // the id of the request
}

func (p *problem) document(instance string) document {
	s := statuses[p.code]
	return document{"urn:vicreg:problem:" + string(p.code), s.title, s.status, p.detail, instance}
}

// asProblem says what an error is to the client. What is nobody's but the server's
// keeps its words for the log.
func asProblem(err error) *problem {
	var p *problem
	var full *batch.Full
	var http413 *http.MaxBytesError
	var routed *echo.HTTPError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &full):
		return &problem{busy, "the queue is full, or the answer would come after the deadline", full.After}
	case errors.Is(err, batch.ErrClosed):
		return errStopping
	case errors.As(err, &http413):
		return problemf(tooLarge, "the body is larger than %d bytes", http413.Limit)
	case errors.Is(err, context.Canceled):
		return problemf(gone, "the request was given up")
	case errors.Is(err, context.DeadlineExceeded):
		return problemf(late, "the answer was not there in time")
	case errors.As(err, &routed):
		return routedProblem(routed)
	}
	return indexProblem(err)
}

// routedProblem translates the framework's own errors. Of the codes that share a
// status the one for paths is meant.
func routedProblem(e *echo.HTTPError) *problem {
	switch e.Code {
	case http.StatusNotFound:
		return problemf(notFound, "%v", e.Message)
	case http.StatusMethodNotAllowed:
		return problemf(badMethod, "%v", e.Message)
	}
	return problemf(internal, "%v", e.Message)
}

// indexProblem translates the errors of an index.
func indexProblem(err error) *problem {
	var item *index.ItemError
	switch {
	case errors.As(err, &item):
		return problemf(badRequest, "%v", err)
	case errors.Is(err, index.ErrUnknown):
		return problemf(unknownItem, "%v", err)
	case errors.Is(err, index.ErrFull):
		return problemf(noSpace, "nothing of the request was stored")
	case errors.Is(err, index.ErrModel):
		return problemf(mismatch, "%v", err)
	case errors.Is(err, index.ErrClosed):
		return errStopping
	}
	return problemf(internal, "see the server's log for the request id")
}

// fail is the framework's handler of errors: every one leaves as problem+json.
func (s *Server) fail(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	p := asProblem(err)
	if p.code == internal {
		s.log.Error("request failed", "error", err, "request_id", requestID(c))
	}
	if p.after > 0 { // in seconds as HTTP has it, and exactly, as OpenAI's clients read it
		c.Response().Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(p.after.Seconds()))))
		c.Response().Header().Set("Retry-After-Ms", strconv.FormatInt(p.after.Milliseconds()+1, 10))
	}
	if p.code == unauthorized {
		c.Response().Header().Set("WWW-Authenticate", "Bearer")
	}
	if c.Request().ContentLength != 0 && p.code != slowBody { // what is left of the body is read before the answer goes
		_ = http.NewResponseController(c.Response()).SetReadDeadline(time.Now().Add(leftover))
	}
	kind, said := p.said(c)
	body, _ := json.Marshal(said)
	if c.Request().Method == http.MethodHead {
		body = nil
	}
	_ = c.Blob(statuses[p.code].status, kind, body)
}

// leftover is how long the rest of a body may take that is of no use any more.
const leftover = 2 * time.Second

// said is the problem in the words of the API that was asked, and their media type.
func (p *problem) said(c echo.Context) (kind string, body any) {
	switch path := c.Request().URL.Path + "/"; {
	case strings.HasPrefix(path, "/v1/"):
		return echo.MIMEApplicationJSON, map[string]any{"error": map[string]any{
			"message": p.detail, "type": p.openAIType(), "param": nil, "code": p.code,
		}}
	case strings.HasPrefix(path, "/v2/"):
		return echo.MIMEApplicationJSON, map[string]any{"error": p.detail}
	}
	return "application/problem+json", p.document(requestID(c))
}

func (p *problem) openAIType() string {
	switch status := statuses[p.code].status; {
	case status == http.StatusUnauthorized:
		return "authentication_error"
	case status == http.StatusTooManyRequests:
		return "rate_limit_error"
	case status >= http.StatusInternalServerError:
		return "server_error"
	}
	return "invalid_request_error"
}
