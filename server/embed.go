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

// inJSON is how many bytes a number has in JSON.
func inJSON(base64 bool) int {
	if base64 {
		return bytesInBase64
	}
	return bytesInJSON
}

// wanted embeds the images of a request as it wants them, takes room for its answer, with
// so many bytes a number, and says in the headers where
// the time went. A bad image fails alone; the error is the whole request's. The vectors
// may be others', too: they are only to be read.
func (s *Server) wanted(c echo.Context, e embedder, in *input, number int) ([]engine.Outcome, error) {
	mean := e.Metadata().Mean()
	if !in.center {
		mean = nil
	} else if mean == nil {
		return nil, problem.Errorf(problem.BadRequest, "center: this model has no mean that could be taken off")
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

// The bytes of a number in an answer. In JSON it has up to 15, and those of base64 have a
// third more than float32; both are there twice for a moment.
const (
	bytesInJSON   = 32
	bytesInBase64 = 11
	bytesAsBinary = 4
)

// holdRows takes room for the answer of n vectors; a row without any has a problem.
func holdRows(c echo.Context, n, dim, number int) error {
	const row = 1 << 10
	return request.Hold(c, int64(n)*int64(number*dim+row))
}

// spent tells the client and the metrics where the time of a request went, also that of
// a failure; search is 0 for none.
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

// changed is the vectors less the mean, nil for none, and then at length 1 if they are to
// be normalized.
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
