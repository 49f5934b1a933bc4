package problem

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
)

// Framework errors map to the codes for paths, never to those of the index.
func TestRoutedProblems(t *testing.T) {
	for status, want := range map[int]Code{404: NotFound, 405: BadMethod, 409: Internal} {
		for range 20 { // map iteration order is random
			if got := Of(echo.NewHTTPError(status)).Code; got != want {
				t.Fatalf("%d is %s, want %s", status, got, want)
			}
		}
	}
}

// described is the part of openapi.json about problems.
type described struct {
	Components struct {
		Schemas   map[string]schema
		Responses map[string]struct {
			Content map[string]struct{ Example json.RawMessage }
		}
	}
}

type schema struct {
	Properties map[string]schema
	Enum       []any
}

func readDescribed(t *testing.T) (d described) {
	t.Helper()
	text, err := os.ReadFile("../openapi.json")
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Every code that clients can see is in the document.
func TestDocumentedCodes(t *testing.T) {
	var types, codes []string
	for code := range statuses {
		if code != Gone {
			types, codes = append(types, "urn:vicreg:problem:"+string(code)), append(codes, string(code))
		}
	}
	schemas := readDescribed(t).Components.Schemas
	problem := schemas["Problem"].Properties["type"].Enum
	openAI := schemas["OpenAIError"].Properties["error"].Properties["code"].Enum
	for _, l := range []struct {
		enum []any
		want []string
	}{{problem, types}, {openAI, codes}} {
		var got []string
		for _, v := range l.enum {
			got = append(got, fmt.Sprint(v))
		}
		slices.Sort(got)
		slices.Sort(l.want)
		if !slices.Equal(got, l.want) {
			t.Errorf("got %v, want %v", got, l.want)
		}
	}
}

// The example problems in the document have the titles and statuses of their codes.
func TestDocumentedProblems(t *testing.T) {
	seen := 0
	for name, r := range readDescribed(t).Components.Responses {
		media, is := r.Content["application/problem+json"]
		if !is {
			continue
		}
		seen++
		var d Document
		err := json.Unmarshal(media.Example, &d)
		want := statuses[Code(strings.TrimPrefix(d.Type, "urn:vicreg:problem:"))]
		if err != nil || d.Title != want.title || d.Status != want.status || name != fmt.Sprint("Problem", d.Status) {
			t.Errorf("%s: %v, %+v", name, err, d)
		}
	}
	if seen < 10 {
		t.Errorf("%d problems are in the document", seen)
	}
}

// A problem is answered in the format of the API that was called, and says when to retry.
func TestAnswer(t *testing.T) {
	answered := func(path string, p *Error) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		p.Answer(echo.New().NewContext(httptest.NewRequest(http.MethodGet, path, nil), w), "id-1")
		return w
	}
	for path, want := range map[string]string{
		"/embed":         `{"type":"urn:vicreg:problem:unavailable","title":"The server is not ready or is shutting down","status":503,"detail":"the model is being loaded","instance":"id-1"}`,
		"/v1/embeddings": `{"error":{"code":"unavailable","message":"the model is being loaded","param":null,"type":"server_error"}}`,
		"/v1":            `{"error":{"code":"unavailable","message":"the model is being loaded","param":null,"type":"server_error"}}`,
		"/v2/models/m":   `{"error":"the model is being loaded"}`,
	} {
		w := answered(path, Loading)
		if h := w.Header(); w.Code != http.StatusServiceUnavailable || w.Body.String() != want || h.Get("Retry-After") != "1" || h.Get("Retry-After-Ms") != "1001" {
			t.Errorf("%s: %d %v %s, want %s", path, w.Code, h, w.Body, want)
		}
	}
}
