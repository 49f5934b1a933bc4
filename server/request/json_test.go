package request

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"vicreg/server/problem"
)

// An error behind the body's JSON is reported as such, not as a second value.
func TestBehindTheJSON(t *testing.T) {
	for _, c := range []struct {
		rest io.Reader
		want problem.Code
	}{
		{iotest.ErrReader(&http.MaxBytesError{Limit: 2}), problem.TooLarge},
		{iotest.ErrReader(os.ErrDeadlineExceeded), problem.SlowBody},
		{iotest.ErrReader(&problem.Error{Code: problem.Busy}), problem.Busy},
		{iotest.ErrReader(io.ErrUnexpectedEOF), problem.BadRequest},
		{strings.NewReader(" ]"), problem.BadRequest},
		{strings.NewReader(" {}"), problem.BadRequest},
	} {
		var into struct{}
		if err := DecodeOne(json.NewDecoder(io.MultiReader(strings.NewReader("{}\n"), c.rest)), &into); err == nil || problem.Of(err).Code != c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}
