package server

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"vicreg/pipeline/stats"
	"vicreg/server/servertest"
)

func openAIAsk(model string, more string, files ...[]byte) []byte {
	list := make([]string, len(files))
	for i, f := range files {
		list[i] = base64.StdEncoding.EncodeToString(f)
	}
	input, _ := json.Marshal(list)
	return fmt.Appendf(nil, `{"input": %s, "model": %q%s}`, input, model, more)
}

// The numbers are those of /embed, in both encodings.
func TestOpenAIEmbeddings(t *testing.T) {
	s := start(t, nil)
	files := [][]byte{servertest.Photo(t, 0), servertest.Photo(t, 1)}
	want := parse(t, ask(s, "POST", "/embed", inputs(files...), "Content-Type", "application/json"))
	for _, encoding := range []string{"", "float", "base64"} {
		w := ask(s, "POST", "/v1/embeddings", openAIAsk("backbone", fmt.Sprintf(`, "encoding_format": %q, "user": "u"`, encoding), files...), "Content-Type", "application/json")
		var got struct {
			Object, Model string
			Data          []struct {
				Object    string
				Index     int
				Embedding json.RawMessage
			}
			Usage map[string]int
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 || got.Object != "list" || got.Model != "backbone" || len(got.Data) != 2 || got.Usage["total_tokens"] != 0 {
			t.Fatalf("%s: %d %v %s", encoding, w.Code, err, w.Body)
		}
		for i, d := range got.Data {
			var v []float32
			if encoding == "base64" {
				var text string
				json.Unmarshal(d.Embedding, &text)
				b, _ := base64.StdEncoding.DecodeString(text)
				v = floats(b)
			} else {
				v = numbers(t, d.Embedding)
			}
			if d.Index != i || d.Object != "embedding" || !close32(v, numbers(t, want.Data[i].Embedding), 1e-6) {
				t.Errorf("%s: vector %d differs", encoding, i)
			}
		}
	}
	alone := fmt.Sprintf(`{"input": "data:image/png;base64,%s", "model": %q}`, base64.StdEncoding.EncodeToString(files[0]), s.current().Fingerprint())
	if w := ask(s, "POST", "/v1/embeddings", []byte(alone)); w.Code != 200 {
		t.Errorf("one string, the fingerprint as the model: %d %s", w.Code, w.Body)
	}
}

// Vectors are only normalised on request; the model's own number of dimensions is accepted, and so
// is the query parameter that Azure clients add.
func TestOpenAILengths(t *testing.T) {
	s := start(t, nil)
	file := servertest.Photo(t, 0)
	raw := direct(t, s, file)
	unit := slices.Clone(raw)
	stats.Unit(unit)
	for more, want := range map[string][]float32{"": raw, `, "normalize": true`: unit, `, "normalize": null, "user": null`: raw, fmt.Sprintf(`, "dimensions": %d`, len(raw)): raw} {
		w := ask(s, "POST", "/v1/embeddings?api-version=2026-01-01", openAIAsk("backbone", more, file))
		if got := read[reply](t, w, 200); !close32(numbers(t, got.Data[0].Embedding), want, 1e-5) {
			t.Errorf("%q: %.100s", more, w.Body)
		}
	}
}

// Errors have OpenAI's format.
func TestOpenAIErrors(t *testing.T) {
	s := start(t, func(c *Config) { c.MaxItems = 1 })
	good := servertest.Photo(t, 0)
	for _, c := range []struct {
		name   string
		body   []byte
		status int
		detail string
	}{
		{"model", openAIAsk("gpt", "", good), 404, `model "gpt": this server has "backbone"`},
		{"image", openAIAsk("backbone", "", []byte("x")), 422, "image 0: "},
		{"items", openAIAsk("backbone", "", good, good), 413, "more than 1 images"},
		{"nothing", openAIAsk("backbone", ""), 400, "contains no image"},
		{"tokens", []byte(`{"input": [1, 2], "model": "backbone"}`), 400, "list of strings, not"},
		{"object", []byte(`{"input": {}, "model": "backbone"}`), 400, "list of strings, not"},
		{"dimensions", openAIAsk("backbone", `, "dimensions": 8`, good), 400, "cannot be shortened"},
		{"unknown", openAIAsk("backbone", `, "dimension": 8`, good), 400, `unknown field "dimension"; did you mean dimensions?`},
		{"future", openAIAsk("backbone", `, "input_type": "query"`, good), 400, `unknown field "input_type"`},
		{"JSON", []byte(`{`), 400, "cannot read the "},
	} {
		w := ask(s, "POST", "/v1/embeddings", c.body, "Content-Type", "application/json")
		var got struct {
			Error struct{ Message, Type, Code string }
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != c.status || !strings.Contains(got.Error.Message, c.detail) || got.Error.Type != "invalid_request_error" || got.Error.Code == "" {
			t.Errorf("%s: %d %s", c.name, w.Code, w.Body)
		}
	}
	if w := ask(s, "POST", "/v1/embeddings?encoding_format=base64", openAIAsk("backbone", "", good)); w.Code != 400 || !strings.Contains(w.Body.String(), "unknown parameter") {
		t.Errorf("a parameter: %d %s", w.Code, w.Body)
	}
	if w := ask(s, "GET", "/v1/models/gpt", nil); w.Code != 404 {
		t.Errorf("another model: %d", w.Code)
	}
}

// The official JavaScript client works unchanged.
func TestOpenAIClient(t *testing.T) {
	modules := os.Getenv("VICREG_NODE_MODULES")
	if modules == "" {
		t.Skip("VICREG_NODE_MODULES is not set: scripts/test.sh sets it where node and npm are there")
	}
	s := start(t, func(c *Config) { c.Keys = []string{"key-1"} })
	h := httptest.NewServer(s.Handler())
	defer h.Close()
	image := servertest.Photo(t, 3)
	want := direct(t, s, image)
	c := exec.CommandContext(t.Context(), "node", "../scripts/clients/openai.mjs", h.URL+"/v1", "key-1", base64.StdEncoding.EncodeToString(image))
	c.Env = append(os.Environ(), "VICREG_NODE_MODULES="+modules)
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, err.(*exec.ExitError).Stderr)
	}
	var got struct {
		Packed, Plain []float32
		Models        []string
		Refused       int
		Unauthorized  int
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if !close32(got.Packed, want, 1e-5) || !close32(got.Plain, want, 1e-5) {
		t.Error("the client's vectors differ")
	}
	if len(got.Models) != 1 || got.Models[0] != "backbone" || got.Refused != http.StatusUnprocessableEntity || got.Unauthorized != http.StatusUnauthorized {
		t.Errorf("got %+v", got)
	}
}
