package server

import (
	"slices"

	"github.com/labstack/echo/v4"

	"vicreg/pipeline/stats"
	"vicreg/server/problem"
	"vicreg/server/request"
)

// embed answers POST /embed.
func (s *Server) embed(c echo.Context, e *engine) error {
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
	if in.single && rows[0].err != nil {
		return rows[0].err
	}
	a := &answer{model: e.Fingerprint(), dim: e.Dim(), rows: rows, base64: in.base64}
	return a.write(c, form)
}

// vectors embeds the images of a request, and says in the headers where the time went.
// A bad image fails alone; the error is the whole request's. The vectors may be
// others', too: they are only to be read.
func (s *Server) vectors(c echo.Context, e *engine, images []request.Image) ([]outcome, error) {
	j := newJob(s, e, c, len(images))
	return j.rows, j.told(c, j.embed(images))
}

// normalized is the vectors at length 1.
func normalized(rows []outcome) []outcome {
	out := slices.Clone(rows)
	for i, r := range out {
		if r.err != nil {
			continue
		}
		v := slices.Clone(r.vector)
		if out[i].vector = v; !stats.Unit(v) {
			out[i] = outcome{err: problem.Errorf(problem.BadImage, "its vector is zero and has no direction")}
		}
	}
	return out
}
