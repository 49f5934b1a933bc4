package server

import (
	"errors"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"vicreg/server/index"
	"vicreg/server/problem"
)

// found is the answer to one query.
type found struct {
	hits []index.Hit
	err  *problem.Error
}

// similar answers POST /similar.
func (s *Server) similar(c echo.Context, e *engine) error {
	q, err := s.readSearch(c, e)
	if err != nil {
		return err
	}
	j := newJob(s, e, c, len(q.images))
	if len(q.images) > 0 {
		err = j.embed(q.images)
	}
	a := &similarAnswer{model: e.Fingerprint(), namespace: q.namespace, bare: q.bare}
	if err == nil {
		a.rows, a.measure, err = j.find(q)
	}
	if err = j.told(c, err); err != nil {
		return err
	}
	if len(a.rows) == 1 && a.rows[0].err != nil {
		return a.rows[0].err
	}
	return a.write(c)
}

// find looks up all queries at once. One that cannot be answered fails alone; the error
// is the whole request's. The measure is what scores are in.
func (j *job) find(q *search) (rows []found, measure string, err error) {
	rows = make([]found, q.size())
	var queries []index.Query
	var at []int // their rows
	for i := range rows {
		query := index.Query{K: q.k, Filter: q.filter, Least: q.least, Bare: q.bare}
		if rows[i].err = j.aim(&query, q, i); rows[i].err == nil {
			queries, at = append(queries, query), append(at, i)
		}
	}
	err = j.s.among(j.e, func(items Items) error {
		measure = items.Binding().Similarity()
		begin := time.Now()
		defer func() { j.search = time.Since(begin) }()
		for len(queries) > 0 {
			hits, err := items.Search(j.ctx, q.namespace, queries...)
			var bad *index.QueryError
			if errors.As(err, &bad) { // before anything was searched
				rows[at[bad.Index]].err = q.misses(at[bad.Index], bad.Err)
				queries, at = slices.Delete(queries, bad.Index, bad.Index+1), slices.Delete(at, bad.Index, bad.Index+1)
				continue
			}
			for k, h := range hits {
				rows[at[k]].hits = h
			}
			if err == nil {
				err = j.s.bounded(hits)
			}
			return err
		}
		return nil
	})
	return rows, measure, err
}

// bounded refuses an answer that would be larger than a request may be: metadata can make
// a great one of a small question.
func (s *Server) bounded(answers [][]index.Hit) error {
	var size int64
	for _, hits := range answers {
		for _, h := range hits {
			size += int64(len(h.Metadata))
		}
	}
	if size > s.config.MaxBody {
		return problem.Errorf(problem.TooLarge, "the metadata of all results has %d bytes, more than %d: ask for fewer, or with_metadata=false", size, s.config.MaxBody)
	}
	return nil
}

// aim says what query i looks for, or why it cannot.
func (j *job) aim(query *index.Query, q *search, i int) *problem.Error {
	switch {
	case q.ids != nil:
		if query.ID = q.ids[i]; query.ID == "" {
			return unknown(q.namespace, query.ID)
		}
	case q.vectors != nil:
		query.Vector = q.vectors[i]
	default:
		query.Vector = j.rows[i].vector
		return j.rows[i].err
	}
	return nil
}

// misses is why the index cannot answer query i.
func (q *search) misses(i int, err error) *problem.Error {
	switch {
	case errors.Is(err, index.ErrUnknown):
		return unknown(q.namespace, q.ids[i])
	case q.images != nil:
		return problem.Errorf(problem.BadImage, "%v", err)
	}
	return problem.Errorf(problem.BadRequest, "%v", err)
}

func unknown(namespace, id string) *problem.Error {
	return problem.Errorf(problem.UnknownItem, "%q is not in the namespace %q", id, namespace)
}
