package server

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"vicreg/server/servertest"
)

// endpoints are those that accept JSON, with the field for the images and whatever else a body must
// have.
var endpoints = []struct{ path, field, more string }{
	{"/embed", "inputs", ""},
	{"/v1/embeddings", "input", `, "model": "backbone"`},
	{"/v2/models/backbone/infer", "inputs", ""},
	{"/similar", "inputs", ""},
	{"/similar", "ids", ""},
	{"/similar", "vectors", ""},
	{"/items", "items", ""},
}

// JSON designed to be expensive or confusing is rejected at each endpoint with the right status,
// and memory use is bounded by a multiple of its length.
func TestHostileJSON(t *testing.T) {
	s := small(t, func(c *Config) { c.MaxBody = 8 << 20 })
	probe := newProbe(t, s)
	nested := strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	for _, e := range endpoints {
		field := func(value string) string { return fmt.Sprintf(`{"%s": %s%s}`, e.field, value, e.more) }
		many := 413
		if strings.HasPrefix(e.path, "/v2/") || e.field == "vectors" || e.field == "items" {
			many = 400 // strings are not valid tensors, vectors or items
		}
		objects := 400
		if e.field == "items" {
			objects = 413 // incomplete items fail one by one
		}
		for name, c := range map[string]struct {
			body   string
			status int
		}{
			"nothing":                   {"", 400},
			"nested lists":              {nested, 400},
			"nested lists, the images":  {field(nested), 400},
			"nested objects":            {strings.Repeat(`{"a":`, 100_000), 400},
			"nested, in a field":        {fmt.Sprintf(`{"encoding_format": %s}`, nested), 400},
			"a huge number":             {field("1" + strings.Repeat("0", 1<<16)), 400},
			"a huge exponent":           {field("[1e999999999]"), 400},
			"a number for a text":       {field("[-0]"), 400},
			"a million empty texts":     {field("[" + strings.Repeat(`"",`, 1<<20) + `""]`), many},
			"many empty objects":        {field("[" + strings.Repeat("{},", 1<<15) + "{}]"), objects},
			"many keys":                 {"{" + strings.Repeat(`"a":0,`, 1<<15) + `"a":0` + e.more + "}", 400},
			"null":                      {field("null"), 400},
			"no list":                   {field("{}"), 400},
			"an empty list":             {field("[]"), 400},
			"two values":                {field("[]") + field("[]"), 400},
			"a byte order mark":         {"\ufeff" + field("[]"), 400},
			"UTF-16":                    {"{\x00\"\x00", 400},
			"a comment":                 {"/**/" + field("[]"), 400},
			"NaN":                       {field("[NaN]"), 400},
			"a text that does not end":  {`{"` + strings.Repeat(`\\`, 1<<15), 400},
			"dimensions":                {field("[]")[:1] + `"dimensions": 99999999999999999999, ` + field("[]")[1:], 400},
			"nothing but a long string": {`"` + strings.Repeat("x", 1<<20) + `"`, 400},
		} {
			var w *httptest.ResponseRecorder
			took := servertest.Allocated(func() { w = ask(s, "POST", e.path, []byte(c.body), "Content-Type", "application/json") })
			if documented(t, w, "POST", e.path); w.Code != c.status || took > 1<<20+32*len(c.body) {
				t.Errorf("%s, %s: %d, want %d, and %d bytes for %d: %.200s", e.path, name, w.Code, c.status, took, len(c.body), w.Body)
			}
			probe.check(t, s, name)
		}
	}
}

// Texts of one image: what base64 allows is accepted, anything else fails alone.
func TestHostileTexts(t *testing.T) {
	s := small(t, nil)
	text := base64.StdEncoding.EncodeToString(servertest.Photo(t, 0))
	broken := strings.Join(strings.SplitAfter(text, text[40:44]), `\r\n`)
	for name, c := range map[string]struct {
		text string
		want int
	}{
		"line breaks":              {broken, 0},
		"a data URI":               {"data:image/png;charset=x;base64," + text, 0},
		"another kind in the URI":  {"data:text/html;base64," + text, 0},
		"a URI without a payload":  {"data:image/png;base64,", 422},
		"a URI that is no base64":  {"data:image/png," + text, 422},
		"a URI in a URI":           {"data:;base64,data:;base64," + text, 422},
		"an address in a URI":      {"data:;base64,http://localhost/", 422},
		"the alphabet for URLs":    {"_-_-", 422},
		"without its padding":      {"YQ", 422},
		"padding within":           {"YQ==YQ==", 422},
		"spaces":                   {"YQ ==", 422},
		"not UTF-8":                {"\xff\xfe", 422},
		"half a surrogate":         {`\ud800`, 422},
		"a file of the machine":    {"file:///etc/passwd", 422},
		"an address":               {"https://169.254.169.254/", 422},
		"an address, shouted":      {"HTTPS://169.254.169.254/", 422},
		"nothing":                  {"", 422},
		"base64 of what is no PNG": {"aGVsbG8=", 422},
	} {
		r := parse(t, ask(s, "POST", "/embed", []byte(`{"inputs": ["`+text+`", "`+c.text+`"]}`), "Content-Type", "application/json"))
		if r.Data[0].Error != nil || (r.Data[1].Error == nil) != (c.want == 0) || c.want != 0 && r.Data[1].Error.Status != c.want {
			t.Errorf("%s: %+v, want %d", name, r.Data[1].Error, c.want)
		}
	}
}

// parts is a form of n parts with this header, each of three bytes.
func parts(n int, header string) string {
	return strings.Repeat("--b\r\n"+header+"\r\n\r\nabc\r\n", n) + "--b--\r\n"
}

func TestHostileForms(t *testing.T) {
	s := small(t, func(c *Config) { c.MaxBody = 4 << 20 })
	probe := newProbe(t, s)
	const file = "Content-Disposition: form-data; name=f; filename=a"
	for name, c := range map[string]struct {
		boundary, body string
		status         int
	}{
		"10,000 files":             {"b", parts(10_000, file), 413},
		"10,000 fields":            {"b", parts(10_000, "Content-Disposition: form-data; name=x"), 400},
		"10,000 parts of nothing":  {"b", strings.Repeat("--b\r\n\r\n\r\n", 10_000) + "--b--", 400},
		"10,000 times normalize":   {"b", strings.ReplaceAll(parts(10_000, "Content-Disposition: form-data; name=normalize"), "abc", "1"), 400},
		"10,000 ends":              {"b", strings.Repeat("--b--\r\n", 10_000), 400},
		"no boundary":              {"", parts(1, file), 400},
		"a boundary of 60,000":     {strings.Repeat("b", 60_000), strings.ReplaceAll(parts(1, file), "--b", "--"+strings.Repeat("b", 60_000)), 400},
		"another boundary":         {"c", parts(1, file), 400},
		"a header of 1 MB":         {"b", parts(1, file+"\r\nX: "+strings.Repeat("x", 1<<20)), 200},
		"20,000 headers":           {"b", parts(1, file+strings.Repeat("\r\nX: x", 20_000)), 400},
		"a name of 1 MB":           {"b", parts(1, "Content-Disposition: form-data; name="+strings.Repeat("x", 1<<20)), 400},
		"a header without a colon": {"b", parts(1, "Content-Disposition"), 400},
		"a form in a form":         {"b", "--b\r\n" + file + "\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n" + strings.ReplaceAll(parts(3, file), "--b", "--c") + "\r\n--b--\r\n", 200},
		"itself in itself":         {"b", "--b\r\n" + file + "\r\n\r\n" + parts(1, file), 200},
		"a preamble of 1 MB":       {"b", strings.Repeat("x\r\n", 1<<18) + parts(1, file), 200},
		"an epilogue of 1 MB":      {"b", parts(1, file) + strings.Repeat("--b\r\n", 1<<17), 200},
		"no end":                   {"b", strings.TrimSuffix(parts(1, file), "--b--\r\n"), 400},
		"half an end":              {"b", strings.TrimSuffix(parts(1, file), "-\r\n"), 400},
		"nothing":                  {"b", "", 400},
	} {
		var w *httptest.ResponseRecorder
		took := servertest.Allocated(func() {
			w = ask(s, "POST", "/embed", []byte(c.body), "Content-Type", `multipart/form-data; boundary="`+c.boundary+`"`)
		})
		if documented(t, w, "POST", "/embed"); w.Code != c.status || took > 1<<20+96*len(c.body) {
			t.Errorf("%s: %d, want %d, and %d bytes for %d: %.200s", name, w.Code, c.status, took, len(c.body), w.Body)
		}
		probe.check(t, s, name)
	}
}

// A body of unknown length is cut off at the limit, wherever that falls.
func TestBodiesWithoutALength(t *testing.T) {
	s := small(t, nil)
	probe := newProbe(t, s)
	most := int(s.config.MaxBody)
	file, kind := form(t, servertest.Photo(t, 0))
	good := string(inputs(servertest.Photo(t, 0)))
	for name, c := range map[string]struct {
		path, kind, body string
		status           int
	}{
		"at the limit":         {"/embed", "application/json", good + strings.Repeat(" ", most-len(good)), 200},
		"one byte more":        {"/embed", "application/json", good + strings.Repeat(" ", most-len(good)+1), 413},
		"behind the end":       {"/embed", kind, string(file) + strings.Repeat(" ", most), 413},
		"within a picture":     {"/embed", "image/png", strings.Repeat("x", most+1), 413},
		"within a file":        {"/embed", kind, strings.Replace(string(file), "PNG", strings.Repeat("x", most), 1), 413},
		"OpenAI's":             {"/v1/embeddings", "", `{"input": "` + strings.Repeat("x", most), 413},
		"an inference request": {"/v2/models/backbone/infer", "", strings.Repeat(" ", most+1), 413},
	} {
		r := httptest.NewRequest("POST", c.path, io.MultiReader(bytes.NewReader([]byte(c.body)))) // of unknown length
		r.Header.Set("Content-Type", c.kind)
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if documented(t, w, "POST", c.path); w.Code != c.status || r.ContentLength >= 0 {
			t.Errorf("%s: %d %.200s, want %d", name, w.Code, w.Body, c.status)
		}
		probe.check(t, s, name)
	}
}
