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

// Answer sends the problem, for the request with this id, in the format of the API that was called,
// with the headers that its code requires.
func (p *Error) Answer(c echo.Context, id string) {
	if p.After > 0 { // whole seconds as HTTP requires, and milliseconds, which OpenAI's clients read
		c.Response().Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(p.After.Seconds()))))
		c.Response().Header().Set("Retry-After-Ms", strconv.FormatInt(p.After.Milliseconds()+1, 10))
	}
	if p.Code == Unauthorized {
		c.Response().Header().Set("WWW-Authenticate", "Bearer")
	}
	if c.Request().ContentLength != 0 && p.Code != SlowBody { // the server reads the rest of the body before the answer goes out
		_ = http.NewResponseController(c.Response()).SetReadDeadline(time.Now().Add(leftover))
	}
	kind, said := p.said(c.Request().URL.Path, id)
	body, _ := json.Marshal(said)
	if c.Request().Method == http.MethodHead {
		body = nil
	}
	_ = c.Blob(statuses[p.Code].status, kind, body)
}

// leftover is the timeout for reading the rest of a body that is no longer needed.
const leftover = 2 * time.Second

// said returns the problem in the format of the API at path, and its media type.
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
