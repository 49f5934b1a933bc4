package server

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

// What fails behind the JSON of a body is no second value.
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
		if err := decodeOne(json.NewDecoder(io.MultiReader(strings.NewReader("{}\n"), c.rest)), &into); err == nil || problem.Of(err).Code != c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}

// Of a key that comes twice the last counts, as for every other key.
func TestKeysThatComeTwice(t *testing.T) {
	s := &Server{config: Config{MaxItems: 2}}
	for body, want := range map[string]string{
		`{"inputs": ["YQ=="], "inputs": ["Yg=="]}`:                        "b",
		`{"inputs": ["YQ==", "YQ==", "YQ=="], "inputs": ["Yg==","Yw=="]}`: "bc",
	} {
		in := &input{}
		err := s.readJSON(strings.NewReader(body), in)
		var got string
		for _, m := range in.images {
			got += string(m.file)
		}
		if err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", body, got, err, want)
		}
	}
}
