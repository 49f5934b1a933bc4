package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/labstack/echo/v4"

	"vicreg/server/problem"
	"vicreg/server/request"
	"vicreg/server/servertest"
)

// mostItems is the maximum number of images per request in these fuzz targets.
const mostItems = 3

// mostDetail is the maximum length of an error in bytes.
const mostDetail = 1000

// reader is a server without a model, sufficient for parsing bodies.
func reader() *Server { return &Server{config: Config{Name: "m", MaxItems: mostItems}} }

// bothWays reads a body as a whole and byte by byte, and checks what must hold of every body: the
// result does not depend on how it arrives, all errors are the client's, memory use is bounded by a
// multiple of its length, and there are never too many images. The multiple is what the standard
// library's readers need; lists of empty values without a limit would take hundreds.
func bothWays(t *testing.T, body []byte, read func(io.Reader) (*input, error)) (in *input, taken bool) {
	t.Helper()
	var err error
	if n := servertest.Allocated(func() { in, err = read(bytes.NewReader(body)) }); n > 128<<10+64*len(body) {
		t.Errorf("%d bytes are allocated for a body of %d", n, len(body))
	}
	slow, slowErr := read(iotest.OneByteReader(bytes.NewReader(body)))
	if fmt.Sprint(err) != fmt.Sprint(slowErr) {
		t.Errorf("%v; a byte at a time %v", err, slowErr)
	}
	if err != nil {
		if p := problem.Of(err); p.Code != problem.BadRequest && p.Code != problem.TooLarge && p.Code != problem.NotFound || len(p.Detail) > mostDetail {
			t.Errorf("%d bytes of %v", len(p.Detail), p)
		}
		return nil, false
	}
	if in.normalize != slow.normalize || in.center != slow.center || in.base64 != slow.base64 || !slices.EqualFunc(in.images, slow.images, sameSource) {
		t.Errorf("%+v; a byte at a time %+v", in, slow)
	}
	if len(in.images) == 0 || len(in.images) > mostItems {
		t.Errorf("%d images", len(in.images))
	}
	return in, true
}

func sameSource(a, b request.Image) bool {
	return bytes.Equal(a.File, b.File) && (a.Err == nil) == (b.Err == nil) && (a.Err == nil || *a.Err == *b.Err)
}

// embedded returns a function that parses a body as /embed does.
func embedded(kind string) func(io.Reader) (*input, error) {
	s, framework := reader(), echo.New()
	return func(r io.Reader) (*input, error) {
		return s.read(framework.NewContext(&http.Request{Header: http.Header{"Content-Type": {kind}}, URL: &url.URL{}, Body: io.NopCloser(r)}, nil))
	}
}

// FuzzForm tests forms with any boundary.
func FuzzForm(f *testing.F) {
	const file = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nabc\r\n"
	const field = "--b\r\nContent-Disposition: form-data; name=normalize\r\n\r\ntrue\r\n"
	for _, body := range []string{
		file + "--b--\r\n", field + file + "--b--", file + file + file + file + "--b--\r\n", file, file + "--b", field + "--b--", "--b--", "",
		"--b\r\nContent-Disposition: form-data; filename=a\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=41=\r\n\r\n--b--\r\n",
		"--b\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Disposition: x; filename=a\r\n\r\n" + file + "--b--\r\n--b--\r\n",
	} {
		f.Add("b", []byte(body))
	}
	f.Add("", []byte(file))
	f.Fuzz(func(t *testing.T, boundary string, body []byte) {
		kind := mime.FormatMediaType("multipart/form-data", map[string]string{"boundary": boundary})
		if kind == "" {
			return // cannot be expressed in a header
		}
		in, taken := bothWays(t, body, embedded(kind))
		if !taken {
			return
		}
		size := 0
		for _, m := range in.images {
			size += len(m.File)
		}
		if size > len(body) || !bytes.Contains(body, []byte("--"+boundary+"--")) {
			t.Errorf("files of %d bytes out of %d, or a form without its end", size, len(body))
		}
	})
}

// addJSON seeds f with bodies whose images are in the given field.
func addJSON(f *testing.F, field string) {
	for _, body := range []string{
		`{"F": ["aGVsbG8=", "data:image/png;base64,aGVsbG8=", "https://a.b/c"], "model": "m", "encoding_format": "base64"}`,
		`{"F": "aGVsbG8=", "model": "m"}`, `{"F": ["YQ=="], "F": ["Yg==", "Yg=="], "model": "m"}`, `{"F": ["YQ=="]}`,
		`{"F": ["", "", "", ""], "model": "m"}`, `{"F": [[[[1e999]]]], "model": "m"}`, `{"F": null, "model": "m"}`,
		`{"F": ["YQ=="]} {}`, `{"F": ["YQ=="], "dimensions": 3, "model": "m"}`, "{\"F\": [\"\xff\\ud800\"], \"normalize\": true}", `[`, ``,
	} {
		f.Add([]byte(strings.ReplaceAll(body, `"F"`, `"`+field+`"`)))
	}
}

// check compares the images with the texts that encoding/json finds.
func (in *input) check(t *testing.T, want []string) {
	t.Helper()
	if len(in.images) != len(want) {
		t.Fatalf("%d images of %d texts", len(in.images), len(want))
	}
	for i, text := range want {
		if !sameSource(in.images[i], request.FromText(text)) {
			t.Errorf("image %d: %+v of %q", i, in.images[i], text)
		}
	}
}

// FuzzInputs tests the parser of /embed's JSON.
func FuzzInputs(f *testing.F) {
	addJSON(f, "inputs")
	read := embedded("application/json")
	f.Fuzz(func(t *testing.T, body []byte) {
		if in, taken := bothWays(t, body, read); taken {
			var want struct{ Inputs []string }
			if err := json.Unmarshal(body, &want); err != nil {
				t.Fatal(err)
			}
			in.check(t, want.Inputs)
		}
	})
}

// FuzzOpenAI tests the parser of /v1/embeddings's JSON.
func FuzzOpenAI(f *testing.F) {
	addJSON(f, "input")
	s, e := reader(), absent{}
	f.Fuzz(func(t *testing.T, body []byte) {
		in, taken := bothWays(t, body, func(r io.Reader) (*input, error) { return s.readOpenAI(r, e) })
		if !taken {
			return
		}
		var want struct{ Input []string }
		var lone struct{ Input string }
		if json.Unmarshal(body, &lone) == nil {
			want.Input = []string{lone.Input}
		} else if err := json.Unmarshal(body, &want); err != nil {
			t.Fatal(err)
		}
		in.check(t, want.Input)
	})
}
