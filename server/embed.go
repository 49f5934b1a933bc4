package server

import (
	"fmt"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"vicreg/pipeline/stats"
	"vicreg/server/engine"
	"vicreg/server/problem"
	"vicreg/server/request"
)

// embed answers POST /embed.
func (s *Server) embed(c echo.Context, e embedder) error {
	form, err := accepted(c.Request().Header.Get(echo.HeaderAccept))
	if err != nil {
		return err
	}
	in, err := s.read(c)
	if err != nil {
		return err
	}
	number := bytesAsBinary
	if form == forms[0] {
		number = inJSON(in.base64)
	}
	rows, err := s.wanted(c, e, in, number)
	if err != nil {
		return err
	}
	if in.single && rows[0].Err != nil {
		return rows[0].Err
	}
	a := &answer{model: e.Fingerprint(), dim: e.Dim(), rows: rows, base64: in.base64}
	return a.write(c, form)
}

// inJSON is the memory taken by a number in a JSON answer, in bytes.
func inJSON(base64 bool) int {
	if base64 {
		return bytesInBase64
	}
	return bytesInJSON
}

// wanted embeds a request's images with its options, reserves memory for the answer at number bytes
// per value, and reports the timings in the headers. A bad image fails alone; the returned error is
// the whole request's. The vectors may be shared with other requests, so callers must not modify
// them.
func (s *Server) wanted(c echo.Context, e embedder, in *input, number int) ([]engine.Outcome, error) {
	mean := e.Metadata().Mean()
	if !in.center {
		mean = nil
	} else if mean == nil {
		return nil, problem.Errorf(problem.BadRequest, "center: this model has no mean to subtract")
	}
	r, err := e.Embed(c.Request().Context(), in.images, false)
	s.spent(c, r.Spans, 0)
	if err == nil {
		err = holdRows(c, len(r.Rows), e.Dim(), number)
	}
	if err != nil || mean == nil && !in.normalize {
		return r.Rows, err
	}
	return changed(r.Rows, mean, in.normalize), nil
}

// Bytes of memory per number in an answer. As JSON text it has up to 15 characters, in base64 a
// third more bytes than as float32; both exist twice for a moment.
const (
	bytesInJSON   = 32
	bytesInBase64 = 11
	bytesAsBinary = 4
)

// holdRows reserves memory for an answer of n vectors; a row without a vector has a problem
// document instead.
func holdRows(c echo.Context, n, dim, number int) error {
	const row = 1 << 10
	return request.Hold(c, int64(n)*int64(number*dim+row))
}

// spent reports to the client and the metrics where the time of a request went, even of a failed
// one; search is 0 for none.
func (s *Server) spent(c echo.Context, t engine.Spans, search time.Duration) {
	s.metrics.spent(t, search)
	h := c.Response().Header()
	h.Set("Server-Timing", timing(t, search))
	if t.Batch > 0 {
		h.Set("X-Batch-Size", fmt.Sprint(t.Batch))
	}
}

func timing(t engine.Spans, search time.Duration) string {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	text := fmt.Sprintf("decode;dur=%.3f, queue;dur=%.3f, infer;dur=%.3f", ms(t.Decode), ms(t.Queue), ms(t.Infer))
	if search > 0 {
		text += fmt.Sprintf(", search;dur=%.3f", ms(search))
	}
	return text
}

// changed returns copies of the vectors with the mean subtracted (nil for none) and then, if
// normalize is set, scaled to unit length.
func changed(rows []engine.Outcome, mean []float32, normalize bool) []engine.Outcome {
	out := slices.Clone(rows)
	for i, r := range out {
		if r.Err != nil {
			continue
		}
		v := slices.Clone(r.Vector)
		stats.Subtract(v, mean)
		if out[i].Vector = v; normalize && !stats.Unit(v) {
			out[i] = engine.Outcome{Err: problem.Errorf(problem.BadImage, "its vector is zero and has no direction")}
		}
	}
	return out
}
