package items

import (
	"bufio"
	"encoding/json"
	"net/http"

	"github.com/labstack/echo/v4"
)

// jsonWriter writes JSON piece by piece, since metadata can make an answer large. Write errors
// surface at the final Flush.
type jsonWriter struct{ *bufio.Writer }

// value writes one piece.
func (w *jsonWriter) value(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

// stream answers with an object that has the fields of about and data, a list of n values written
// one at a time by write.
func stream(c echo.Context, about map[string]any, n int, write func(w *jsonWriter, i int) error) error {
	rest, err := json.Marshal(about)
	if err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
	c.Response().WriteHeader(http.StatusOK)
	w := &jsonWriter{bufio.NewWriterSize(c.Response(), 16<<10)}
	w.WriteString(`{"data":[`)
	for i := range n {
		if i > 0 {
			w.WriteByte(',')
		}
		if err := write(w, i); err != nil {
			return err
		}
	}
	w.WriteString("],")
	w.Write(rest[1:])
	return w.Flush()
}
