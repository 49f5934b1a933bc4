package items

import (
	"bufio"
	"encoding/json"
	"net/http"

	"github.com/labstack/echo/v4"
)

// jsonWriter writes JSON a piece at a time: metadata may make an answer large. What fails
// to be written shows at the end.
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

// stream answers with an object of what about has and of data, a list of n values that
// write writes, one at a time.
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
