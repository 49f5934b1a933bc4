package server

import (
	"strings"
	"testing"
)

// Of duplicate keys the last one counts, as always in encoding/json.
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
			got += string(m.File)
		}
		if err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", body, got, err, want)
		}
	}
}
