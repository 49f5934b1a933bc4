package server

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/iotest"
)

// What fails behind the JSON of a body is no second value.
func TestBehindTheJSON(t *testing.T) {
	for _, c := range []struct {
		rest io.Reader
		want code
	}{
		{iotest.ErrReader(&http.MaxBytesError{Limit: 2}), tooLarge},
		{iotest.ErrReader(os.ErrDeadlineExceeded), slowBody},
		{iotest.ErrReader(&problem{code: busy}), busy},
		{iotest.ErrReader(io.ErrUnexpectedEOF), badRequest},
		{strings.NewReader(" ]"), badRequest},
		{strings.NewReader(" {}"), badRequest},
	} {
		var into struct{}
		if err := decodeOne(json.NewDecoder(io.MultiReader(strings.NewReader("{}\n"), c.rest)), &into); err == nil || asProblem(err).code != c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}
