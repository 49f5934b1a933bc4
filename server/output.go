package server

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"vicreg/pipeline/vectors"
	"vicreg/server/engine"
	"vicreg/server/problem"
)

// answer holds the vectors of a request, or the reason why an image has none.
type answer struct {
	model  string // fingerprint
	dim    int
	rows   []engine.Outcome
	base64 bool
}

// forms are the media types of an answer; the first is the default.
var forms = []string{"application/json", "application/octet-stream", "application/x-npy"}

// accepted returns the media type that the Accept header prefers, the default if there is none. The
// most specific entry that matches a type counts, as in RFC 9110, 12.5.1.
func accepted(header string) (string, error) {
	if header == "" {
		return forms[0], nil
	}
	best, most := "", 0.0
	for _, form := range forms {
		if q := quality(header, form); q > most {
			best, most = form, q
		}
	}
	if best == "" {
		return "", problem.Errorf(problem.NotAcceptable, "%s: available are %s", header, strings.Join(forms, ", "))
	}
	return best, nil
}

// quality is the weight that an Accept header assigns to a media type.
func quality(header, form string) (q float64) {
	closest := -1
	for entry := range strings.SplitSeq(header, ",") {
		kind, params, _ := strings.Cut(strings.TrimSpace(entry), ";")
		kind = strings.ToLower(strings.TrimSpace(kind))
		if !matches(kind, form) || len(kind) <= closest { // a longer pattern is more specific
			continue
		}
		closest, q = len(kind), 1
		for p := range strings.SplitSeq(params, ";") {
			if v, ok := strings.CutPrefix(strings.TrimSpace(p), "q="); ok {
				q, _ = strconv.ParseFloat(v, 64)
			}
		}
	}
	return q
}

func matches(pattern, kind string) bool {
	prefix, all := strings.CutSuffix(pattern, "*")
	return pattern == kind || pattern == "*/*" || all && strings.HasPrefix(kind, prefix)
}

// write sends the answer. The binary formats have no place for the error of a single image: in them
// the first bad image fails the whole request.
func (a *answer) write(c echo.Context, form string) error {
	if form == forms[0] {
		return a.writeJSON(c)
	}
	if err := firstBad(a.rows); err != nil {
		return err
	}
	h := c.Response().Header()
	h.Set("X-Shape", fmt.Sprintf("%d,%d", len(a.rows), a.dim))
	h.Set("X-Dtype", "float32")
	h.Set(echo.HeaderContentType, form)
	c.Response().WriteHeader(http.StatusOK)
	if form == forms[1] {
		_, err := c.Response().Write(a.bytes())
		return err
	}
	w, err := vectors.Create(c.Response(), "answer.npy", vectors.Info{Count: len(a.rows), Dim: a.dim})
	if err != nil {
		return err
	}
	for _, r := range a.rows {
		if err := w.Write("", r.Vector); err != nil {
			return err
		}
	}
	return w.Close()
}

// firstBad is the error of the first image that failed.
func firstBad(rows []engine.Outcome) error {
	for i, r := range rows {
		if r.Err != nil {
			return &problem.Error{Code: r.Err.Code, Detail: fmt.Sprintf("image %d: %s", i, r.Err.Detail)}
		}
	}
	return nil
}

// bytes are the rows as little-endian float32.
func (a *answer) bytes() (out []byte) {
	for _, r := range a.rows {
		out = vectors.Append(out, r.Vector)
	}
	return out
}

// row is an outcome in JSON.
type row struct {
	Index     int               `json:"index"`
	Embedding any               `json:"embedding,omitempty"` // numbers, or base64 of little-endian float32
	Error     *problem.Document `json:"error,omitempty"`
}

func (a *answer) writeJSON(c echo.Context) error {
	reply := struct {
		Model string `json:"model"`
		Dim   int    `json:"dim"`
		Data  []row  `json:"data"`
		Usage struct {
			Images int `json:"images"`
		} `json:"usage"`
	}{Model: a.model, Dim: a.dim, Data: make([]row, len(a.rows))}
	for i, r := range a.rows {
		reply.Data[i].Index = i
		switch {
		case r.Err != nil:
			d := r.Err.Document("")
			reply.Data[i].Error = &d
			continue
		case a.base64:
			reply.Data[i].Embedding = base64.StdEncoding.EncodeToString(vectors.Append(nil, r.Vector))
		default:
			reply.Data[i].Embedding = r.Vector
		}
		reply.Usage.Images++
	}
	body, err := json.Marshal(reply)
	if err != nil {
		return err
	}
	return c.Blob(http.StatusOK, forms[0], body)
}
