package server

import (
	"encoding/json"
	"strings"
	"testing"
)

// Every route describes JSON errors in JSON's terms and names the field.
func TestJSONProblems(t *testing.T) {
	s, _ := indexed(t, nil)
	infer := "/v2/models/" + s.config.Name + "/infer"
	for _, c := range []struct{ method, path, body, want string }{
		{"POST", "/embed", `{"inputs": 1}`, "cannot read the JSON: inputs: want a list of strings, not a number"},
		{"POST", "/embed", `{"inputs": [1]}`, "cannot read the JSON: inputs: want a list of strings, not a list that contains something else"},
		{"POST", "/embed", `{"inputs": null}`, "cannot read the JSON: inputs: want a list of strings, not null"},
		{"POST", "/embed", `{"normalize": 1}`, "cannot read the JSON: normalize: want true or false, not a number"},
		{"POST", "/embed", `{"encoding_format": true}`, "cannot read the JSON: encoding_format: want a string, not true or false"},
		{"POST", "/embed", `{"dimensions": 1.5}`, "cannot read the JSON: dimensions: want a whole number, not 1.5"},
		{"POST", "/embed", `{"pictures": []}`, `cannot read the JSON: unknown field "pictures"`},
		{"POST", "/embed", `["a"]`, "cannot read the JSON: want an object, not a list"},
		{"POST", "/embed", `{"inputs": [`, "cannot read the JSON: it is truncated"},
		{"POST", "/embed", ``, "cannot read the JSON: the body is empty"},
		{"POST", "/embed", `{"inputs": x}`, "cannot read the JSON: at byte 12, invalid character 'x' looking for beginning of value"},
		{"POST", "/v1/embeddings", `{"input": {}}`, "cannot read the JSON: input: want a string or a list of strings, not an object"},
		{"POST", "/v1/embeddings", `{"model": 1}`, "cannot read the JSON: model: want a string, not a number"},
		{"POST", "/similar", `{"id": 1}`, "cannot read the JSON: id: want a string, not a number"},
		{"POST", "/similar", `{"ids": "a"}`, "cannot read the JSON: ids: want a list of strings, not a string"},
		{"PUT", "/items/a", `{"source": 1}`, "cannot read the JSON: source: want a string, not a number"},
		{"PUT", "/items/a", `{"namespace": []}`, "cannot read the JSON: namespace: want a string, not a list"},
		{"POST", "/items", `{"namespace": 1}`, "cannot read the JSON: namespace: want a string, not a number"},
		{"POST", "/items", `{"items": [{"id": 1}]}`, "item 0 cannot be read: id: want a string, not a number"},
		{"POST", "/items", `{"items": [{"image": {}}]}`, "item 0 cannot be read: image: want a string, not an object"},
		{"POST", "/items", `{"items": ["a"]}`, "item 0 cannot be read: want an object, not a string"},
		{"POST", infer, `{"id": 1}`, "cannot read the JSON: id: want a string, not a number"},
		{"POST", infer, `{"inputs": {}}`, "cannot read the JSON: inputs: want a list, not an object"},
		{"POST", infer, `{"inputs": [{"shape": ["a"]}]}`, "cannot read the JSON: inputs.shape: want a whole number, not a string"},
		{"POST", infer, `{"outputs": 1}`, "cannot read the JSON: outputs: want a list, not a number"},
		{"POST", infer, `{"outputs": [{"parameters": {"binary_data": 1}}]}`, "cannot read the JSON: outputs.parameters.binary_data: want true or false, not a number"},
		{"POST", infer, `{"parameters": 1}`, "cannot read the JSON: parameters: want an object, not a number"},
	} {
		w := ask(s, c.method, c.path, []byte(c.body), "Content-Type", "application/json")
		var said struct {
			Detail string
			Error  json.RawMessage
		}
		if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil {
			t.Fatal(err)
		}
		text := said.Detail + string(said.Error) // the other APIs' formats
		if w.Code != 400 || text != c.want && !strings.Contains(text, strings.ReplaceAll(`"`+c.want+`"`, `\`, `\\`)) {
			t.Errorf("%s %s %s: %d %s, want %s", c.method, c.path, c.body, w.Code, text, c.want)
		}
	}
}
