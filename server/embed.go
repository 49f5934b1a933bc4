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
	rows, err := s.vectors(c, e, in.images)
	if err != nil {
		return err
	}
	if in.normalize {
		rows = normalized(rows)
	}
	if in.single && rows[0].Err != nil {
		return rows[0].Err
	}
	a := &answer{model: e.Fingerprint(), dim: e.Dim(), rows: rows, base64: in.base64}
	return a.write(c, form)
}

// vectors embeds the images of a request, and says in the headers where the time went.
// A bad image fails alone; the error is the whole request's. The vectors may be
// others', too: they are only to be read.
func (s *Server) vectors(c echo.Context, e embedder, images []request.Image) ([]engine.Outcome, error) {
	r, err := e.Embed(c.Request().Context(), images, false)
	return r.Rows, s.told(c, r.Spans, 0, err)
}

// told says in the headers where the time of a request went, also that of a failure, and
// passes the error on; search is 0 for none.
func (s *Server) told(c echo.Context, t engine.Spans, search time.Duration, err error) error {
	h := c.Response().Header()
	h.Set("Server-Timing", timing(t, search))
	if t.Batch > 0 {
		h.Set("X-Batch-Size", fmt.Sprint(t.Batch))
		s.metrics.queue.Observe(t.Queue.Seconds())
		s.metrics.infer.Observe(t.Infer.Seconds())
	}
	if search > 0 {
		s.metrics.search.Observe(search.Seconds())
	}
	return err
}

func timing(t engine.Spans, search time.Duration) string {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	text := fmt.Sprintf("decode;dur=%.3f, queue;dur=%.3f, infer;dur=%.3f", ms(t.Decode), ms(t.Queue), ms(t.Infer))
	if search > 0 {
		text += fmt.Sprintf(", search;dur=%.3f", ms(search))
	}
	return text
}

// normalized is the vectors at length 1.
func normalized(rows []engine.Outcome) []engine.Outcome {
	out := slices.Clone(rows)
	for i, r := range out {
		if r.Err != nil {
			continue
		}
		v := slices.Clone(r.Vector)
		if out[i].Vector = v; !stats.Unit(v) {
			out[i] = engine.Outcome{Err: problem.Errorf(problem.BadImage, "its vector is zero and has no direction")}
		}
	}
	return out
}
