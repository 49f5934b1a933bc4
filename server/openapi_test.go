package server

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
)

// The document is valid, and lists exactly the routes that exist.
func TestDocument(t *testing.T) {
	s := start(t, nil)
	c, err := readContract(ask(s, "GET", "/openapi.json", nil).Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.doc.Validate(t.Context()); err != nil { // including its examples
		t.Error(err)
	}
	if err := c.compare(s.handler.Routes()); err != nil {
		t.Error(err)
	}
	if c.doc.Info.Version != version() {
		t.Errorf("version %q", c.doc.Info.Version)
	}
	for _, r := range s.operations().Routes() {
		if _, ok := c.operations()[routeName(r)]; !ok && r.Method != echo.RouteNotFound && r.Method != http.MethodHead {
			t.Errorf("%s is not in the document", routeName(r))
		}
	}
}

// Answers outside any route have the same format as the others.
func TestStrayRequests(t *testing.T) {
	s := start(t, nil)
	c := contractOf(t)
	for _, r := range []struct {
		method, path, schema string
		status               int
		words                string
	}{
		{"GET", "/nothing", "Problem", 404, "nothing is at /nothing: /docs lists the paths of the API"},
		{"GET", "/embed", "Problem", 405, "/embed does not take GET: use POST"},
		{"GET", "/v1/nothing", "OpenAIError", 404, "nothing is at /v1/nothing: "},
		{"DELETE", "/v1/models", "OpenAIError", 405, "/v1/models does not take DELETE: use GET or HEAD"},
		{"GET", "/v2/nothing", "InferError", 404, "nothing is at /v2/nothing: "},
		{"POST", "/v2", "InferError", 405, "/v2 does not take POST: use GET or HEAD"},
		{"GET", "/v2/models/backbone/infer", "InferError", 405, "/v2/models/backbone/infer does not take GET: use POST"},
		{"POST", "/items/x", "Problem", 405, "/items/x does not take POST: use DELETE, GET, HEAD or PUT"},
		{"PUT", "/items/cat/0001.jpg", "Problem", 404, "the slashes of an id are escaped: /items/cat%2F0001.jpg"},
		{"GET", "/items/a%20b/c%2Fd?namespace=x", "Problem", 404, "are escaped: /items/a%20b%2Fc%2Fd\""},
		{"GET", "/items/a/b/thumbnail", "Problem", 404, "are escaped: /items/a%2Fb/thumbnail"},
		{"GET", "/items/", "Problem", 404, "nothing is at /items/: "},
	} {
		w := ask(s, r.method, r.path, nil)
		var body any
		err := json.Unmarshal(w.Body.Bytes(), &body)
		if err == nil {
			err = c.doc.Components.Schemas[r.schema].Value.VisitJSON(body)
		}
		if err != nil || w.Code != r.status || !strings.Contains(w.Body.String(), r.words) || (r.status == 405) != (w.Header().Get("Allow") != "") {
			t.Errorf("%s %s: %d %v %s", r.method, r.path, w.Code, err, w.Body)
		}
	}
}

// Answers and routes that deviate from the document are detected.
func TestContractNotices(t *testing.T) {
	s := start(t, nil)
	bad := call{"POST /embed", "/embed", []byte("no image"), []string{"Content-Type", "image/png"}, 422}
	errorCase := `"422": {"$ref": "#/components/responses/Problem422"}`
	for name, change := range map[string][2]string{
		"":                   {},
		"status":             {errorCase, `"499": {"$ref": "#/components/responses/Problem422"}`},
		"shape":              {errorCase, `"422": {"$ref": "#/components/responses/Infer422"}`},
		"media type":         {`"application/problem+json": {`, `"application/json": {`},
		"number":             {`"minimum": 400,`, `"minimum": 423,`},
		"member":             {`"detail": {"type"`, `"details": {"type"`},
		"required member":    {`"required": ["type", "title", "status"]`, `"required": ["type", "title", "status", "code"]`},
		"header":             {`"Server-Timing": {`, `"Server-Timings": {`},
		"required header":    {`"BatchSize": {`, `"BatchSize": {"required": true,`},
		"header value":       {`"^decode;dur=`, `"^decoded;dur=`},
		"route":              {`"/info": {`, `"/information": {`},
		"method":             {`"head": {`, `"options": {`},
		"request media type": {`"image/png": {"schema"`, `"image/tiff": {"schema"`},
	} {
		text := string(apiDocument)
		if !strings.Contains(text, change[0]) {
			t.Fatalf("%s: %q is not in the document", name, change[0])
		}
		c, err := readContract([]byte(strings.ReplaceAll(text, change[0], change[1])))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		err = c.compare(s.handler.Routes())
		if err == nil {
			err = c.request(bad)
		}
		if err == nil {
			err = c.answer(bad, bad.send(s))
		}
		if (err == nil) != (name == "") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// compare finds routes that are only in the document or only in the server. HEAD works wherever GET
// does, but is documented only for the probes.
func (c *contract) compare(routes []*echo.Route) error {
	served := map[string]bool{}
	for _, r := range routes {
		if r.Method != echo.RouteNotFound && (r.Method != http.MethodHead || c.operations()[routeName(r)] != nil) {
			served[routeName(r)] = true
		}
	}
	got, want := slices.Sorted(maps.Keys(c.operations())), slices.Sorted(maps.Keys(served))
	if !slices.Equal(got, want) {
		return fmt.Errorf("the document has %v,\nthe server has %v", got, want)
	}
	return nil
}

// routeName is a route in the document's notation.
func routeName(r *echo.Route) string {
	parts := strings.Split(r.Path, "/")
	for i, p := range parts {
		if name, ok := strings.CutPrefix(p, ":"); ok {
			parts[i] = "{" + name + "}"
		}
	}
	return r.Method + " " + strings.Join(parts, "/")
}

// The paths of images in the examples are such that a rebuild reads them.
func TestDocumentedSources(t *testing.T) {
	found := regexp.MustCompile(`(?:[?&]source=|"source": ")([^'&"]+)`).FindAllStringSubmatch(string(apiDocument), -1)
	for _, m := range found {
		if !filepath.IsAbs(m[1]) {
			t.Errorf("the path %s is relative", m[1])
		}
	}
	if len(found) < 3 {
		t.Errorf("only %d paths are in the document", len(found))
	}
}
