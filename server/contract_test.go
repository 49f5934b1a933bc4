package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

// contract is the OpenAPI document against which requests and answers are checked.
type contract struct{ doc *openapi3.T }

// contractOf parses the server's own document.
func contractOf(t *testing.T) *contract {
	t.Helper()
	c, err := readContract(apiDocument)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// readContract parses a document and validates it, except for its examples. Undocumented members
// are rejected, although clients should accept them.
func readContract(file []byte) (*contract, error) {
	doc, err := openapi3.NewLoader().LoadFromData(file)
	if err != nil {
		return nil, err
	}
	if err := doc.Validate(context.Background(), openapi3.DisableExamplesValidation(), openapi3.EnableSchemaFormatValidation()); err != nil {
		return nil, err
	}
	for _, kind := range []string{"image/jpeg", "image/png", "image/webp", "image/gif", "image/svg+xml", "application/x-npy", "application/vnd.google.protobuf"} {
		openapi3filter.RegisterBodyDecoder(kind, openapi3filter.FileBodyDecoder)
	}
	for _, kind := range []string{"text/html", "text/javascript", "text/css"} {
		openapi3filter.RegisterBodyDecoder(kind, openapi3filter.PlainBodyDecoder)
	}
	for _, schema := range doc.Components.Schemas {
		closeSchema(schema)
	}
	return &contract{doc}, nil
}

// closeSchema forbids objects to have members other than those documented.
func closeSchema(s *openapi3.SchemaRef) {
	if s == nil || s.Value == nil {
		return
	}
	if s.Value.Type.Is("object") && s.Value.Properties != nil && s.Value.AdditionalProperties.Has == nil {
		no := false
		s.Value.AdditionalProperties.Has = &no
	}
	for _, p := range s.Value.Properties {
		closeSchema(p)
	}
	for _, one := range s.Value.OneOf {
		closeSchema(one)
	}
	closeSchema(s.Value.Items)
}

// operations returns the document's operations by method and path.
func (c *contract) operations() map[string]*openapi3.Operation {
	out := map[string]*openapi3.Operation{}
	for path, item := range c.doc.Paths.Map() {
		for method, op := range item.Operations() {
			out[method+" "+path] = op
		}
	}
	return out
}

// call is a test request to a documented route.
type call struct {
	route   string // method and path template as in the document
	path    string // path as sent
	body    []byte
	headers []string
	status  int // expected status in normal operation
}

func (r call) http(body io.Reader) *http.Request {
	method, _, _ := strings.Cut(r.route, " ")
	h := httptest.NewRequest(method, r.path, body)
	for i := 0; i+1 < len(r.headers); i += 2 {
		h.Header.Set(r.headers[i], r.headers[i+1])
	}
	return h
}

func (r call) send(s *Server) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r.http(bytes.NewReader(r.body)))
	return w
}

// input converts the request for the validation library.
func (c *contract) input(r call) *openapi3filter.RequestValidationInput {
	method, path, _ := strings.Cut(r.route, " ")
	sent := r.http(bytes.NewReader(r.body))
	params := map[string]string{}
	values := strings.Split(sent.URL.EscapedPath(), "/")
	for i, part := range strings.Split(path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			params[strings.TrimSuffix(name, "}")], _ = url.PathUnescape(values[i])
		}
	}
	return &openapi3filter.RequestValidationInput{Request: sent, PathParams: params,
		Route:   &routers.Route{Spec: c.doc, Path: path, PathItem: c.doc.Paths.Value(path), Method: method, Operation: c.operations()[r.route]},
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}}
}

// request checks a request against the document.
func (c *contract) request(r call) error {
	return openapi3filter.ValidateRequest(context.Background(), c.input(r))
}

// usual are response headers that need no documentation.
var usual = []string{"Connection", "Content-Type", "Content-Encoding", "Vary", "Content-Security-Policy", "X-Content-Type-Options"}

// answer checks an answer against the document.
func (c *contract) answer(r call, w *httptest.ResponseRecorder) error {
	documented := c.operations()[r.route].Responses.Status(w.Code)
	if documented == nil {
		return fmt.Errorf("the status %d is not documented", w.Code)
	}
	named := map[string]bool{}
	for name := range documented.Value.Headers {
		named[strings.ToLower(name)] = true
	}
	for name := range w.Header() {
		if !named[strings.ToLower(name)] && !slices.Contains(usual, name) {
			return fmt.Errorf("the header %s is not documented for %d", name, w.Code)
		}
	}
	if len(documented.Value.Content) == 0 && w.Body.Len() > 0 && !strings.HasPrefix(r.route, "HEAD ") { // for HEAD, the connection drops the body
		return fmt.Errorf("a body is not documented for %d", w.Code)
	}
	return openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: c.input(r), Status: w.Code, Header: w.Header(), Body: io.NopCloser(bytes.NewReader(w.Body.Bytes())),
		Options: &openapi3filter.Options{IncludeResponseStatus: true}})
}
