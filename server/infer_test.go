package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"vicreg/server/engine"
	"vicreg/server/problem"
	"vicreg/server/servertest"
)

// inferReply is an answer in the Open Inference Protocol.
type inferReply struct {
	Model   string `json:"model_name"`
	Version string `json:"model_version"`
	ID      string
	Outputs []struct {
		Name, Datatype string
		Shape          []int
		Data           []float32
		Parameters     struct {
			Size int `json:"binary_data_size"`
		}
	}
	Error string
}

// noise is n images as the model sees them.
func noise(n int) []uint8 {
	out := make([]uint8, n*16*16*3)
	for i := range out {
		out[i] = uint8(i * 2654435761 >> 9)
	}
	return out
}

func TestInfer(t *testing.T) {
	s := start(t, nil)
	e := s.current().(*engine.Engine)
	const n = 3
	pixels := noise(n)
	want, err := e.Encode(t.Context(), pixels, n)
	if err != nil {
		t.Fatal(err)
	}
	list, _ := json.Marshal(slices.Collect(func(yield func(int) bool) {
		for _, p := range pixels {
			if !yield(int(p)) {
				return
			}
		}
	}))
	tensor := `{"id": "a1", "inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [3,16,16,3], %s}] %s}`
	flat := fmt.Sprintf(tensor, `"data": `+string(list), "")
	nested := fmt.Sprintf(tensor, `"data": [[`+strings.Trim(string(list), "[]")+`]]`, `, "outputs": [{"name": "embedding"}]`)
	head := fmt.Sprintf(tensor, fmt.Sprintf(`"parameters": {"binary_data_size": %d}`, len(pixels)), `, "outputs": [{"name": "embedding", "parameters": {"binary_data": true}}]`)
	mixed := fmt.Sprintf(tensor, `"data": `+string(list), `, "parameters": {"binary_data_output": true}`)
	for _, c := range []struct {
		name, path, body string
		headers          []string
		binary           bool
	}{
		{"flat", "/v2/models/backbone/infer", flat, nil, false},
		{"nested", "/v2/models/backbone/versions/" + e.Fingerprint() + "/infer", nested, []string{"Content-Type", "application/json"}, false},
		{"binary", "/v2/models/backbone/infer", head + string(pixels), []string{headerLength, strconv.Itoa(len(head)), "Content-Type", "application/octet-stream"}, true},
		{"binary output alone", "/v2/models/backbone/infer", mixed, nil, true},
	} {
		w := ask(s, "POST", c.path, []byte(c.body), c.headers...)
		body := w.Body.Bytes()
		var raw []byte
		if c.binary {
			n, err := strconv.Atoi(w.Header().Get(headerLength))
			if err != nil {
				t.Fatalf("%s: %d %s", c.name, w.Code, body)
			}
			body, raw = body[:n], body[n:]
		}
		var got inferReply
		if err := json.Unmarshal(body, &got); err != nil || w.Code != 200 || len(got.Outputs) != 1 {
			t.Fatalf("%s: %d %v %s", c.name, w.Code, err, body)
		}
		o := got.Outputs[0]
		vectors := o.Data
		if c.binary {
			vectors = floats(raw)
			if o.Parameters.Size != len(raw) || o.Data != nil {
				t.Errorf("%s: size %d of %d bytes", c.name, o.Parameters.Size, len(raw))
			}
		}
		if got.ID != "a1" || got.Model != "backbone" || got.Version != e.Fingerprint() || o.Name != "embedding" || o.Datatype != "FP32" || !slices.Equal(o.Shape, []int{n, e.Dim()}) {
			t.Errorf("%s: %+v", c.name, got)
		}
		if !close32(vectors, want, 1e-5) {
			t.Errorf("%s: the vectors differ", c.name)
		}
	}
}

func TestInferErrors(t *testing.T) {
	s := start(t, func(c *Config) { c.MaxItems = 2 })
	input := func(name, datatype, shape, rest string) string {
		return fmt.Sprintf(`{"inputs": [{"name": %q, "datatype": %q, "shape": %s%s}]}`, name, datatype, shape, rest)
	}
	one := strings.Repeat("7,", 767) + "7"
	whole := input("pixels", "UINT8", "[1,16,16,3]", `, "data": [`+one+`]`)
	for _, c := range []struct {
		path, body string
		headers    []string
		status     int
		detail     string
	}{
		{"/v2/models/other/infer", whole, nil, 404, `model "other"`},
		{"/v2/models/backbone/versions/1/infer", whole, nil, 404, `version "1"`},
		{"", "{", nil, 400, "cannot read the "},
		{"", whole, []string{"Content-Type", "text/csv"}, 415, "text/csv"},
		{"", `{"inputs": []}`, nil, 400, "want one input, pixels"},
		{"", strings.TrimSuffix(whole, "]}") + `, {"name": "pixels"}]}`, nil, 400, "want one input, pixels"},
		{"", input("image", "UINT8", "[1,16,16,3]", ""), nil, 400, "want one input, pixels"},
		{"", input("pixels", "FP32", "[1,16,16,3]", ""), nil, 400, "is FP32 [1 16 16 3]: want UINT8 [n 16 16 3]"},
		{"", input("pixels", "UINT8", "[1,3,16,16]", ""), nil, 400, "want UINT8 [n 16 16 3]"},
		{"", input("pixels", "UINT8", "[0,16,16,3]", ""), nil, 400, "want UINT8 [n 16 16 3]"},
		{"", input("pixels", "UINT8", "[1,16,16,3]", `, "data": [1,2]`), nil, 400, "has 2 numbers"},
		{"", input("pixels", "UINT8", "[1,16,16,3]", `, "data": [`+one+`,1]`), nil, 400, "more than the 768"},
		{"", input("pixels", "UINT8", "[1,16,16,3]", `, "data": [256]`), nil, 400, "not a whole number from 0 to 255"},
		{"", input("pixels", "UINT8", "[1,16,16,3]", `, "data": ["a"]`), nil, 400, "not a whole number from 0 to 255"},
		{"", input("pixels", "UINT8", "[3,16,16,3]", `, "data": []`), nil, 413, "more than 2 images"},
		{"", input("pixels", "UINT8", "[9223372036854775807,16,16,3]", `, "data": []`), nil, 413, "more than 2 images"},
		{"", input("pixels", "UINT8", "[1,16,16,3]", `, "parameters": {"binary_data_size": 768}`), nil, 400, "binary_data_size is 768, but 0 bytes follow"},
		{"", "{}", []string{headerLength, "3"}, 400, "want 0 to the 2 bytes"},
		{"", strings.TrimSuffix(whole, "}") + `, "outputs": [{"name": "logits"}]}`, nil, 400, `output "logits"`},
	} {
		if c.path == "" {
			c.path = "/v2/models/backbone/infer"
		}
		w := ask(s, "POST", c.path, []byte(c.body), c.headers...)
		var got inferReply
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != c.status || !strings.Contains(got.Error, c.detail) {
			t.Errorf("%.80s: %d %s, want %d with %q", c.body, w.Code, w.Body, c.status, c.detail)
		}
	}
}

func TestInferMetadata(t *testing.T) {
	s := start(t, nil)
	for path, want := range map[string]string{
		"/v2":                        `"extensions":["binary_tensor_data"]`,
		"/v2/health/live":            `"alive":true`,
		"/v2/health/ready":           `"ready":true`,
		"/v2/models/backbone":        `{"name":"pixels","datatype":"UINT8","shape":[-1,16,16,3]}`,
		"/v2/models/backbone/ready":  `"ready":true`,
		"/v2/models/nothing/ready":   `{"error":"model`,
		"/v2/models/backbone/nosuch": `{"error":`,
	} {
		if w := ask(s, "GET", path, nil); !bytes.Contains(w.Body.Bytes(), []byte(want)) {
			t.Errorf("%s: %d %s, want %s", path, w.Code, w.Body, want)
		}
	}
}

// Lists of empty values take no more memory than their body.
func TestInferListsAreShort(t *testing.T) {
	const n = 1 << 16
	for body, want := range map[string]string{
		`{"inputs": [` + strings.Repeat("{},", n) + `{}]}`:            "want one input",
		`{"inputs": [` + strings.Repeat("null,", n) + `{}]}`:          "want one input",
		`{"outputs": [` + strings.Repeat("{},", n) + `{}]}`:           "more than 16 values",
		`{"inputs": [{"shape": [` + strings.Repeat("1,", n) + `1]}]}`: "more than 16 values",
	} {
		r, err := http.NewRequest("POST", "/", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		took := servertest.Allocated(func() {
			var ask *inferAsk
			if ask, err = readInfer(r); err == nil {
				_, err = ask.items(16, 2)
			}
		})
		if err == nil || problem.Of(err).Code != problem.BadRequest || !strings.Contains(err.Error(), want) || took > 16*len(body) {
			t.Errorf("%.40s: %v, and %d bytes for a body of %d", body, err, took, len(body))
		}
	}
}
