package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime/multipart"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"vicreg/server/batch"
	"vicreg/server/problem"
	"vicreg/server/servertest"
)

// Each status is provoked once, and comes with a problem document that has the request's id.
func TestEveryStatus(t *testing.T) {
	s := start(t, func(c *Config) { c.MaxItems, c.MaxBody, c.Limits.Pixels = 2, 20_000, 5_000 })
	good := servertest.Photo(t, 0)
	wide, kind := form(t, good, good, good)
	fields, fieldsKind := func() ([]byte, string) {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		w.WriteField("text", "hello")
		w.Close()
		return b.Bytes(), w.FormDataContentType()
	}()
	large := bytes.Repeat([]byte("x"), 20_001)
	for _, c := range []struct {
		name, method, path string
		body               []byte
		kind, accept       string
		status             int
		detail             string
	}{
		{"JSON cut off", "POST", "/embed", []byte(`{"inputs": [`), "application/json", "", 400, "cannot read the JSON"},
		{"no inputs", "POST", "/embed", []byte(`{"inputs": []}`), "application/json", "", 400, "contains no image"},
		{"unknown field", "POST", "/embed", []byte(`{"input": "x"}`), "application/json", "", 400, "input"},
		{"two values", "POST", "/embed", []byte(`{"inputs": []} {}`), "application/json", "", 400, "more than one"},
		{"dimensions", "POST", "/embed", []byte(`{"inputs": [], "dimensions": 3}`), "application/json", "", 400, "cannot be shortened"},
		{"encoding", "POST", "/embed", []byte(`{"inputs": [], "encoding_format": "hex"}`), "application/json", "", 400, "want float or base64"},
		{"no file", "POST", "/embed", fields, fieldsKind, "", 400, "is neither a file"},
		{"form cut off between parts", "POST", "/embed", wide[:bytes.LastIndex(wide, []byte("Content-Disposition"))], kind, "", 400, "cannot read the "},
		{"no form", "POST", "/embed", []byte("abc"), kind, "", 400, "cannot read the "},
		{"normalize", "POST", "/embed?normalize=si", good, "image/png", "", 400, "want true or false"},
		{"parameter", "POST", "/embed?normalise=true", good, "image/png", "", 400, `unknown parameter "normalise": want one of normalize, center, encoding_format; did you mean normalize?`},
		{"another parameter", "POST", "/embed?foo=1", good, "image/png", "", 400, `unknown parameter "foo": want one of normalize, center, encoding_format`},
		{"another encoding", "POST", "/embed?encoding_format=hex", good, "image/png", "", 400, "want float or base64"},
		{"misspelt field", "POST", "/embed", []byte(`{"inputs": [], "normalise": true}`), "application/json", "", 400, "did you mean normalize?"},
		{"none wanted", "GET", "/namespaces?x=1", nil, "", "", 400, `unknown parameter "x": want none`},
		{"number", "POST", "/embed", []byte(`{"inputs": [1]}`), "application/json", "", 400, "list of strings, not"},
		{"form cut off", "POST", "/embed", wide[:300], kind, "", 400, "cannot read the "},
		{"path", "GET", "/nothing", nil, "", "", 404, ""},
		{"method", "GET", "/embed", nil, "", "", 405, ""},
		{"accept", "POST", "/embed", good, "image/png", "text/html", 406, "available"},
		{"body", "POST", "/embed", large, "image/png", "", 413, "20000 bytes"},
		{"items", "POST", "/embed", wide, kind, "", 413, "more than 2 images"},
		{"JSON items", "POST", "/embed", inputs(good, good, good), "application/json", "", 413, "more than 2 images"},
		{"no type", "POST", "/embed", good, "", "", 415, "Content-Type"},
		{"type", "POST", "/embed", good, "text/plain", "", 415, "text/plain"},
		{"no image", "POST", "/embed", []byte("hello"), "image/png", "", 422, "not a JPEG, PNG, WebP or GIF file"},
		{"pixels", "POST", "/embed", servertest.Photo(t, 300), "image/png", "", 422, "over the limit"},
		{"TIFF", "POST", "/embed", []byte("II*\x00\x08\x00\x00\x00"), "image/tiff", "", 422, ""},
		{"cut off", "POST", "/embed", servertest.Photo(t, 0)[:50], "image/png", "", 422, ""},
	} {
		headers := []string{"X-Request-Id", "id-1"}
		if c.kind != "" {
			headers = append(headers, "Content-Type", c.kind)
		}
		if c.accept != "" {
			headers = append(headers, "Accept", c.accept)
		}
		w := ask(s, c.method, c.path, c.body, headers...)
		var d problem.Document
		err := json.Unmarshal(w.Body.Bytes(), &d)
		if err != nil || w.Code != c.status || d.Status != c.status || d.Instance != "id-1" || !strings.Contains(d.Detail, c.detail) ||
			w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: got %d %s, want %d with %q", c.name, w.Code, w.Body, c.status, c.detail)
		}
	}
	if w := ask(s, "POST", "/embed", []byte(`{"inputs": ["https://example.org/cat.jpg"]}`), "Content-Type", "application/json"); !strings.Contains(w.Body.String(), "not fetched") {
		t.Errorf("an address: %s", w.Body)
	}
}

// A client without a key is told only that, and nothing about what else is wrong.
func TestKeysBeforeAllElse(t *testing.T) {
	s := start(t, func(c *Config) { c.Keys = []string{"key"} })
	s.Items.SetIndex(memoryFor(s))
	guarded := 0
	for route, op := range contractOf(t).operations() {
		if op.Security == nil || len(*op.Security) == 0 {
			continue
		}
		guarded++
		method, path, _ := strings.Cut(route, " ")
		path = regexp.MustCompile("{[^}]*}").ReplaceAllString(path, "x")
		for name, w := range map[string]*httptest.ResponseRecorder{
			"an unknown parameter": ask(s, method, path+"?nonsense=1", nil),
			"an unknown type":      ask(s, method, path, []byte("x"), "Content-Type", "text/x-none", "Accept", "text/x-none"),
		} {
			if w.Code != 401 {
				t.Errorf("%s: %s: %d %s", route, name, w.Code, w.Body)
			}
		}
	}
	if guarded < 15 {
		t.Errorf("only %d routes ask for a key", guarded)
	}
	w := ask(s, "POST", "/embed?nonsense=1", servertest.Photo(t, 0), "Content-Type", "image/png", "Authorization", "Bearer key")
	told(t, "with a key", w, 400, problem.BadRequest, `unknown parameter "nonsense"`)
}

func TestKeys(t *testing.T) {
	s := start(t, func(c *Config) { c.Keys = []string{"first", "second"} })
	for header, want := range map[string]int{"": 401, "Bearer third": 401, "first": 401, "Bearer ": 401, "Bearer first": 200, "bearer second": 200} {
		w := ask(s, "POST", "/embed", servertest.Photo(t, 0), "Content-Type", "image/png", "Authorization", header)
		if w.Code != want || want == 401 && w.Header().Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%q: got %d, want %d", header, w.Code, want)
		}
	}
	if w := ask(s, "GET", "/livez", nil); w.Code != 200 {
		t.Errorf("a probe has no key: got %d", w.Code)
	}
}

// A queue of 8 refuses 9 images and says when to retry; a request past its deadline gets 504.
func TestFullAndLate(t *testing.T) {
	s := start(t, func(c *Config) { c.Queue, c.MaxItems = 8, 9 })
	files := make([][]byte, 9)
	for i := range files {
		files[i] = servertest.Photo(t, i)
	}
	w := ask(s, "POST", "/embed", inputs(files...), "Content-Type", "application/json")
	if w.Code != 429 || w.Header().Get("Retry-After") == "" {
		t.Errorf("got %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	s.config.Deadline = time.Nanosecond
	if w := ask(s, "POST", "/embed", files[0], "Content-Type", "image/png"); w.Code != 504 {
		t.Errorf("after the deadline: %d %s", w.Code, w.Body)
	}
}

// A panic in a handler fails only that request.
func TestSurvive(t *testing.T) {
	s := start(t, nil)
	defer s.play(played{panics: true})()
	if w := ask(s, "POST", "/embed", servertest.Photo(t, 0), "Content-Type", "image/png"); w.Code != 500 {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

// An error does not echo a client's whole body.
func TestErrorsAreShort(t *testing.T) {
	s := start(t, nil)
	long := strings.Repeat("\x01\u20ac", 1<<15) // 128 KiB
	part := "--b\r\nContent-Disposition: form-data; name=%s\r\n\r\n%s\r\n--b--\r\n"
	const form = "multipart/form-data; boundary=b"
	for _, c := range []struct{ path, kind, body string }{
		{"/embed", form, fmt.Sprintf(part, "normalize", long)},
		{"/embed", form, fmt.Sprintf(part, strings.Repeat("x", 1<<17), "")},
		{"/embed", "application/json", `{"` + strings.Repeat("é", 1<<16) + `": 1}`},
		{"/embed", "application/json", `{"inputs": [], "encoding_format": "` + strings.Repeat("é", 1<<16) + `"}`},
		{"/embed", "application/json", `{"inputs": [], "dimensions": ` + strings.Repeat("9", 1<<17) + `}`},
		{"/v1/embeddings", "", `{"input": [], "model": "` + strings.Repeat(`\u0001`, 1<<15) + `"}`},
		{"/v2/models/backbone/infer", "", `{"inputs": [{"name": "pixels", "datatype": "` + strings.Repeat("é", 1<<16) + `"}]}`},
		{"/v2/models/backbone/infer", "", `{"inputs": [{"name": "pixels", "shape": [` + strings.Repeat("1, ", 1<<16) + `1]}]}`},
		{"/v2/models/backbone/infer", "", `{"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 16, 16, 3]}], "outputs": [{"name": "` + strings.Repeat("é", 1<<16) + `"}]}`},
	} {
		w := ask(s, "POST", c.path, []byte(c.body), "Content-Type", c.kind)
		if w.Code != 400 && w.Code != 404 || w.Body.Len() > 4<<10 || strings.Contains(w.Body.String(), "\\ufffd") {
			t.Errorf("%s %.80s: %d and %d bytes: %.200s", c.path, c.body, w.Code, w.Body.Len(), w.Body)
		}
	}
}

// A request that would be too late is refused before its body is read.
func TestRefusedBeforeItsBody(t *testing.T) {
	s := start(t, nil)
	defer s.play(played{refusal: &batch.Full{After: time.Second}})()
	body := iotest.ErrReader(errors.New("the body was read"))
	r := httptest.NewRequest("POST", "/embed", body)
	r.Header.Set("Content-Type", "image/png")
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	if w.Code != 429 || w.Header().Get("Retry-After") == "" || w.Header().Get("Retry-After-Ms") == "" {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}
