package items

import (
	"encoding/hex"
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"vicreg/server/index"
	"vicreg/server/problem"
	"vicreg/server/request"
)

// item is a stored item in JSON.
type item struct {
	ID        string `json:"id"`
	Namespace string `json:"namespace,omitempty"` // omitted where the answer states it once for all items
	*about
	Hash   *string   `json:"sha256"` // of the image file, null if unknown
	Vector []float32 `json:"vector,omitempty"`
}

func itemOf(namespace string, it *index.Item) item {
	out := item{ID: it.ID, about: aboutOf(it.Metadata, it.Source, thumbnailAddress(namespace, it.ID, it.Pictured))}
	if len(it.Hash) > 0 {
		sum := hex.EncodeToString(it.Hash)
		out.Hash = &sum
	}
	return out
}

// getItem answers GET /items/{id}.
func (s *Shelf) getItem(c echo.Context) error {
	namespace, id, err := located(c)
	if err != nil {
		return err
	}
	with, err := request.Truth("with_vector", c.QueryParam("with_vector"))
	if err != nil {
		return err
	}
	var it *index.Item
	err = s.at(func(items Index) (err error) {
		it, err = items.Get(c.Request().Context(), namespace, id)
		return lost(err, namespace, id)
	})
	if err != nil {
		return err
	}
	out := itemOf(namespace, it)
	if out.Namespace = namespace; with {
		out.Vector = it.Vector
	}
	return c.JSON(http.StatusOK, out)
}

// lost adds the item's name to the error if there is no such item, or it is damaged.
func lost(err error, namespace, id string) error {
	if errors.Is(err, index.ErrUnknown) {
		return unknown(namespace, id)
	}
	if _, is := errors.AsType[*index.Damage](err); is {
		return damaged(namespace, id)
	}
	return err
}

// itemThumbnail answers GET /items/{id}/thumbnail.
func (s *Shelf) itemThumbnail(c echo.Context) error {
	namespace, id, err := located(c)
	if err != nil {
		return err
	}
	var file []byte
	err = s.at(func(items Index) (err error) {
		file, err = items.Thumbnail(c.Request().Context(), namespace, id)
		if err != nil && items.Has(namespace, id) && errors.Is(err, index.ErrUnknown) {
			return problem.Errorf(problem.UnknownItem, "%q has no thumbnail", id)
		}
		return lost(err, namespace, id)
	})
	if err != nil {
		return err
	}
	return s.host.Kept(c, "image/jpeg", file)
}

// deleteItem answers DELETE /items/{id} once the item is gone from disk.
func (s *Shelf) deleteItem(c echo.Context) error {
	namespace, id, err := located(c)
	if err != nil {
		return err
	}
	err = s.at(func(items Index) error {
		gone, err := items.Delete(c.Request().Context(), namespace, id)
		if s.wrote(err) == nil && !gone[0] {
			return unknown(namespace, id)
		}
		return err
	})
	if err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
