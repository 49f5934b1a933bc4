package items

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"vicreg/server/engine"
	"vicreg/server/index"
	"vicreg/server/problem"
	"vicreg/server/request"
)

// found is the answer to one query.
type found struct {
	hits []index.Hit
	err  *problem.Error
}

// similar answers POST /similar.
func (s *Shelf) similar(c echo.Context, m Model) error {
	of, err := s.binding(m)
	if err != nil {
		return err
	}
	q, err := s.readSearch(c, of)
	if err != nil {
		return err
	}
	made := &engine.Result{}
	if len(q.images) > 0 {
		made, err = m.Embed(c.Request().Context(), q.images, false)
	}
	a := &similarAnswer{model: m.Fingerprint(), namespace: q.namespace, bare: q.bare}
	var took time.Duration
	if err == nil {
		took, err = s.find(c.Request().Context(), m, q, made.Rows, a)
	}
	if s.host.Spent(c, made.Spans, took); err != nil {
		return err
	}
	if len(a.rows) == 1 && a.rows[0].err != nil {
		return a.rows[0].err
	}
	if err := request.Hold(c, a.size()); err != nil {
		return err
	}
	return a.write(c)
}

// find runs all queries at once and puts the results into the answer; made are the embedded images
// of the queries. A query that cannot be answered fails alone; the returned error is the whole
// request's. took is the time spent searching.
func (s *Shelf) find(ctx context.Context, m Model, q *search, made []engine.Outcome, a *similarAnswer) (took time.Duration, err error) {
	a.rows = make([]found, q.size())
	var queries []index.Query
	var at []int // their rows
	for i := range a.rows {
		query := index.Query{K: q.k, Filter: q.filter, Without: q.without, Least: q.least, Bare: q.bare, Bytes: s.config.MaxBody}
		if a.rows[i].err = q.aim(&query, made, i); a.rows[i].err == nil {
			queries, at = append(queries, query), append(at, i)
		}
	}
	err = s.among(m, func(items Index) error {
		a.measure = items.Binding().Similarity()
		begin := time.Now()
		defer func() { took = time.Since(begin) }()
		for len(queries) > 0 {
			hits, err := items.Search(ctx, q.namespace, queries...)
			var bad *index.QueryError
			if errors.As(err, &bad) { // queries are checked before anything is searched
				a.rows[at[bad.Index]].err = q.misses(at[bad.Index], bad.Err)
				queries, at = slices.Delete(queries, bad.Index, bad.Index+1), slices.Delete(at, bad.Index, bad.Index+1)
				continue
			}
			for k, h := range hits {
				a.rows[at[k]].hits = h
			}
			switch {
			case errors.Is(err, index.ErrMuch):
				err = s.tooMuch()
			case err == nil:
				err = s.bounded(hits)
			}
			if err == nil && !slices.ContainsFunc(hits, func(h []index.Hit) bool { return len(h) > 0 }) {
				a.note = note(ctx, items, q.namespace, q.filter)
			}
			return err
		}
		return nil
	})
	return took, err
}

// bounded rejects an answer whose metadata exceeds the size limit of a request: a small query can
// produce a huge answer.
func (s *Shelf) bounded(answers [][]index.Hit) error {
	var size int64
	for _, hits := range answers {
		for _, h := range hits {
			size += int64(len(h.Metadata))
		}
	}
	if size > s.config.MaxBody {
		return s.tooMuch()
	}
	return nil
}

func (s *Shelf) tooMuch() error {
	return problem.Errorf(problem.TooLarge, "the metadata of all results has more than %d bytes: request fewer results or set with_metadata=false", s.config.MaxBody)
}

// aim sets what query i searches for, or returns why it cannot.
func (q *search) aim(query *index.Query, made []engine.Outcome, i int) *problem.Error {
	switch {
	case q.ids != nil:
		if query.ID = q.ids[i]; query.ID == "" {
			return unknown(q.namespace, query.ID)
		}
	case q.vectors != nil:
		query.Vector = q.vectors[i]
	default:
		query.Vector = made[i].Vector
		return made[i].Err
	}
	return nil
}

// misses explains why the index cannot answer query i.
func (q *search) misses(i int, err error) *problem.Error {
	switch {
	case errors.Is(err, index.ErrUnknown):
		return unknown(q.namespace, q.ids[i])
	case errors.Is(err, index.ErrDamaged):
		return damaged(q.namespace, q.ids[i])
	case q.images != nil:
		return problem.Errorf(problem.BadImage, "%v", err)
	}
	return problem.Errorf(problem.BadRequest, "%v", err)
}

func unknown(namespace, id string) *problem.Error {
	return problem.Errorf(problem.UnknownItem, "%q is not in namespace %q", id, namespace)
}

func damaged(namespace, id string) *problem.Error {
	return problem.Errorf(problem.Internal, "%q in the namespace %q is damaged: store it again, or delete it", id, namespace)
}
