package items

import (
	"bufio"
	"encoding/json"
	"math"
	"net/http"

	"github.com/labstack/echo/v4"

	"vicreg/server/index"
	"vicreg/server/problem"
)

// similarAnswer is what POST /similar found.
type similarAnswer struct {
	model, namespace, measure string
	rows                      []found
	bare                      bool   // without metadata and source
	note                      string // why nothing is found, if that can be told
}

// hit is an item that was found, in JSON.
type hit struct {
	ID         string   `json:"id"`
	Score      float32  `json:"score"`
	Percentile *float64 `json:"percentile"` // null where it is not known
	*about
}

// about is what is told of an item beside its vector.
type about struct {
	Metadata  json.RawMessage `json:"metadata"`
	Source    *string         `json:"source"`    // null for none
	Thumbnail *string         `json:"thumbnail"` // where that is, null for none
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

// write sends the answer a query at a time: metadata may make it large.
func (a *similarAnswer) write(c echo.Context) error {
	about := map[string]string{"model": a.model, "namespace": a.namespace, "similarity": a.measure}
	if a.note != "" {
		about["note"] = a.note
	}
	head, err := json.Marshal(about)
	if err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
	c.Response().WriteHeader(http.StatusOK)
	w := bufio.NewWriter(c.Response())
	w.Write(head[:len(head)-1])
	w.WriteString(`,"data":[`)
	for i, f := range a.rows {
		if i > 0 {
			w.WriteByte(',')
		}
		row, err := json.Marshal(f.row(i, a.namespace, a.bare))
		if err != nil {
			return err
		}
		w.Write(row)
	}
	w.WriteString("]}")
	return w.Flush()
}

// row is an answer in JSON.
func (f found) row(i int, namespace string, bare bool) any {
	if f.err != nil {
		return struct {
			Index int              `json:"index"`
			Error problem.Document `json:"error"`
		}{i, f.err.Document("")}
	}
	results := make([]hit, len(f.hits))
	for k, h := range f.hits {
		results[k] = hitOf(namespace, h, bare)
	}
	return struct {
		Index   int   `json:"index"`
		Results []hit `json:"results"`
	}{i, results}
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
