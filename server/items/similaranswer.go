package items

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/labstack/echo/v4"

	"vicreg/server/index"
	"vicreg/server/problem"
)

// similarAnswer is the answer to POST /similar.
type similarAnswer struct {
	model, namespace, measure string
	rows                      []found
	bare                      bool   // without metadata and source
	note                      string // why nothing was found, if known
}

// hit is a search result in JSON.
type hit struct {
	ID         string   `json:"id"`
	Score      float32  `json:"score"`
	Percentile *float64 `json:"percentile"` // null if unknown
	*about
}

// about is what an answer tells of an item besides its vector.
type about struct {
	Metadata  json.RawMessage `json:"metadata"`
	Source    *string         `json:"source"`    // null if none
	Thumbnail *string         `json:"thumbnail"` // its URL, null if none
}

func aboutOf(metadata json.RawMessage, source, thumbnail string) *about {
	a := &about{Metadata: metadata}
	if len(metadata) == 0 {
		a.Metadata = json.RawMessage("{}")
	}
	if source != "" {
		a.Source = &source
	}
	if thumbnail != "" {
		a.Thumbnail = &thumbnail
	}
	return a
}

// size is the approximate size of the answer in memory, in bytes.
func (a *similarAnswer) size() (n int64) {
	for _, f := range a.rows {
		n += perItem
		for _, h := range f.hits {
			n += perItem + int64(len(h.ID)+len(h.Metadata)+len(h.Source))
		}
	}
	return n
}

// write sends the answer.
func (a *similarAnswer) write(c echo.Context) error {
	about := map[string]any{"model": a.model, "namespace": a.namespace, "similarity": a.measure}
	if a.note != "" {
		about["note"] = a.note
	}
	return stream(c, about, len(a.rows), func(w *jsonWriter, i int) error {
		if f := a.rows[i]; f.err != nil {
			return w.value(struct {
				Index int              `json:"index"`
				Error problem.Document `json:"error"`
			}{i, f.err.Document("")})
		}
		return a.results(w, i)
	})
}

// results writes the hits of query i, one at a time.
func (a *similarAnswer) results(w *jsonWriter, i int) error {
	fmt.Fprintf(w, `{"index":%d,"results":[`, i)
	for k, h := range a.rows[i].hits {
		if k > 0 {
			w.WriteByte(',')
		}
		if err := w.value(hitOf(a.namespace, h, a.bare)); err != nil {
			return err
		}
	}
	_, err := w.WriteString("]}")
	return err
}

func hitOf(namespace string, h index.Hit, bare bool) hit {
	out := hit{ID: h.ID, Score: h.Score}
	if !math.IsNaN(h.Percentile) {
		out.Percentile = &h.Percentile
	}
	if !bare {
		out.about = aboutOf(h.Metadata, h.Source, thumbnailAddress(namespace, h.ID, h.Pictured))
	}
	return out
}
