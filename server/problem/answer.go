package problem

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// Answer sends a problem for the request of this id, in the words of the API that was
// asked, with the headers that go with its code.
func (p *Error) Answer(c echo.Context, id string) {
	if p.After > 0 { // in seconds as HTTP has it, and exactly, as OpenAI's clients read it
		c.Response().Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(p.After.Seconds()))))
		c.Response().Header().Set("Retry-After-Ms", strconv.FormatInt(p.After.Milliseconds()+1, 10))
	}
	if p.Code == Unauthorized {
		c.Response().Header().Set("WWW-Authenticate", "Bearer")
	}
	if c.Request().ContentLength != 0 && p.Code != SlowBody { // what is left of the body is read before the answer goes
		_ = http.NewResponseController(c.Response()).SetReadDeadline(time.Now().Add(leftover))
	}
	kind, said := p.said(c.Request().URL.Path, id)
	body, _ := json.Marshal(said)
	if c.Request().Method == http.MethodHead {
		body = nil
	}
	_ = c.Blob(statuses[p.Code].status, kind, body)
}

// leftover is how long the rest of a body may take that is of no use any more.
const leftover = 2 * time.Second

// said is the problem in the words of the API at a path, and their media type.
func (p *Error) said(path, id string) (kind string, body any) {
	switch path += "/"; {
	case strings.HasPrefix(path, "/v1/"):
		return echo.MIMEApplicationJSON, map[string]any{"error": map[string]any{
			"message": p.Detail, "type": p.openAIType(), "param": nil, "code": p.Code,
		}}
	case strings.HasPrefix(path, "/v2/"):
		return echo.MIMEApplicationJSON, map[string]any{"error": p.Detail}
	}
	return "application/problem+json", p.Document(id)
}

func (p *Error) openAIType() string {
	switch status := statuses[p.Code].status; {
	case status == http.StatusUnauthorized:
		return "authentication_error"
	case status == http.StatusTooManyRequests:
		return "rate_limit_error"
	case status >= http.StatusInternalServerError:
		return "server_error"
	}
	return "invalid_request_error"
}
