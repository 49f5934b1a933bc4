package items

import (
	"bytes"
	"crypto/sha256"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"vicreg/server/index"
	"vicreg/server/problem"
	"vicreg/server/request"
)

// putItem answers PUT /items/{id} once the item is on disk.
func (s *Shelf) putItem(c echo.Context, m Model) error {
	of, err := s.binding(m)
	if err != nil {
		return err
	}
	p, err := s.readItem(c, of)
	if err != nil {
		return err
	}
	rows, err := s.store(c, m, p.namespace, []given{p.given})
	switch {
	case err != nil:
		return err
	case rows[0].err != nil:
		return rows[0].err
	}
	status := http.StatusOK
	if rows[0].created {
		status = http.StatusCreated
	}
	return c.JSON(status, map[string]any{"id": p.id, "namespace": p.namespace, "created": rows[0].created})
}

// stored is the outcome of storing an item.
type stored struct {
	created bool // false if it replaced another
	err     *problem.Error
}

// store embeds the items that have images and stores the valid ones, all or none. An invalid item
// fails alone; the returned error is the whole request's.
func (s *Shelf) store(c echo.Context, m Model, namespace string, items []given) ([]stored, error) {
	whole, rows, err := s.complete(c, m, items)
	if err != nil {
		return nil, err
	}
	return rows, s.among(m, func(to Index) error {
		var sound []index.Item
		var at []int // their rows in the answer
		for i, item := range whole {
			if rows[i].err != nil {
				continue
			}
			if err := to.Check(item); err != nil {
				rows[i].err = problem.Errorf(problem.BadRequest, "%v", err)
				continue
			}
			sound, at = append(sound, item), append(at, i)
		}
		if len(sound) == 0 {
			return nil
		}
		created, err := to.Upsert(c.Request().Context(), namespace, sound...)
		for k, is := range created {
			rows[at[k]].created = is
		}
		return s.wrote(err)
	})
}

// complete fills in everything that is stored of an item: for an image its vector, hash and
// thumbnail.
func (s *Shelf) complete(c echo.Context, m Model, items []given) ([]index.Item, []stored, error) {
	whole, rows := make([]index.Item, len(items)), make([]stored, len(items))
	var images []request.Image
	var at []int
	for i, g := range items {
		whole[i] = index.Item{ID: g.id, Vector: g.vector, Metadata: g.metadata, Source: g.source, Hash: g.hash}
		if rows[i].err = g.err; g.err == nil { // an item that is already invalid is not embedded
			if err := index.CheckText(whole[i]); err != nil {
				rows[i].err = problem.Errorf(problem.BadRequest, "%v", err)
			}
		}
		if rows[i].err == nil && g.image != nil {
			images, at = append(images, *g.image), append(at, i)
		}
	}
	if len(images) == 0 {
		return whole, rows, nil
	}
	made, err := m.Embed(c.Request().Context(), images, true)
	if s.host.Spent(c, made.Spans, 0); err != nil {
		return nil, nil, err
	}
	for k, i := range at {
		sum := sha256.Sum256(images[k].File)
		if rows[i].err = made.Rows[k].Err; whole[i].Hash != nil && !bytes.Equal(whole[i].Hash, sum[:]) && rows[i].err == nil {
			rows[i].err = problem.Errorf(problem.BadRequest, "sha256: does not match the image's, %x", sum)
		}
		whole[i].Vector, whole[i].Hash, whole[i].Thumbnail = made.Rows[k].Vector, sum[:], made.Thumbs[k]
	}
	return whole, rows, nil
}

// located returns the namespace and id that a request names.
func located(c echo.Context) (namespace, id string, err error) {
	if id, err = pathID(c); err != nil {
		return "", "", err
	}
	namespace, err = namespaceOf(c.QueryParam("namespace"))
	return namespace, id, err
}

// thumbnailAddress is the URL of an item's thumbnail relative to the server, "" if it has none.
func thumbnailAddress(namespace, id string, is bool) string {
	if !is {
		return ""
	}
	return "items/" + url.PathEscape(id) + "/thumbnail?namespace=" + url.QueryEscape(namespace)
}
