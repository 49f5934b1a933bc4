package items

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"vicreg/pipeline/stats"
	"vicreg/server/index"
	"vicreg/server/index/filter"
	"vicreg/server/problem"
	"vicreg/server/request"
)

// there reports whether a field is present and not null.
func there(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

// wellNamed rejects names under which nothing can be stored.
func wellNamed(what, name string) error {
	if err := index.CheckID(name); err != nil {
		return problem.Errorf(problem.BadRequest, "the %s %v", what, err)
	}
	return nil
}

// namespaceOf validates a namespace's name; "" is the default namespace.
func namespaceOf(name string) (string, error) {
	if name == "" {
		return index.DefaultNamespace, nil
	}
	return name, wellNamed("namespace", name)
}

func filterOf(text string) (*filter.Filter, error) {
	f, err := filter.Parse([]byte(text))
	if err != nil {
		return nil, problem.Errorf(problem.BadRequest, "%v", err)
	}
	return f, nil
}

// idsOf parses a JSON list of ids.
func idsOf(name, text string) ([]string, error) {
	list := request.Texts{Most: mostOut}
	switch err := json.Unmarshal([]byte(text), &list); {
	case err != nil || !list.Given:
		return nil, problem.Errorf(problem.BadRequest, "%s: want a list of ids, as JSON", name)
	case list.Over:
		return nil, request.TooMany(mostOut, "ids in "+name)
	}
	return list.Kept, nil
}

// number parses a finite 32-bit number of well-formed JSON.
func number(text string) (x float32, ok bool) {
	if strings.ContainsFunc(text, func(r rune) bool { return !strings.ContainsRune("+-.0123456789eE", r) }) {
		return 0, false // Go's own notations, such as hex, underscores and Inf
	}
	v, err := strconv.ParseFloat(text, 32)
	return float32(v), err == nil
}

// vectorOf parses a vector for the index from well-formed JSON. The error's text continues a
// sentence that begins with the vector's name.
func vectorOf(raw []byte, of index.Binding) ([]float32, error) {
	raw = bytes.TrimSpace(raw)
	if raw[0] != '[' {
		return nil, errors.New("it is not a list of numbers")
	}
	list := bytes.TrimSpace(raw[1 : len(raw)-1])
	n := 0
	if len(list) > 0 {
		n = bytes.Count(list, []byte{','}) + 1
	}
	if n != of.Dim {
		return nil, fmt.Errorf("it has %d numbers, but the model's vectors have %d", n, of.Dim)
	}
	v := make([]float32, 0, of.Dim)
	for part := range bytes.SplitSeq(list, []byte{','}) {
		text := problem.Cut(string(bytes.TrimSpace(part)), problem.MostWords)
		x, ok := number(text)
		if !ok {
			return nil, fmt.Errorf("%s, at %d, is not a finite 32-bit number", text, len(v))
		}
		v = append(v, x)
	}
	switch {
	case stats.Norm(v) == 0:
		return nil, errors.New("it is zero and has no direction")
	case of.Normalized(v):
		return nil, fmt.Errorf("it has length 1: %w", index.ErrNormalized)
	}
	return v, nil
}

// vectorsOf parses a list of vectors from well-formed JSON.
func (s *Shelf) vectorsOf(raw []byte, of index.Binding) (all [][]float32, err error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if open, err := d.Token(); err != nil || open != json.Delim('[') {
		return nil, problem.Errorf(problem.BadRequest, "vectors: not a list")
	}
	for d.More() {
		if len(all) == s.config.MaxItems {
			return nil, request.TooMany(s.config.MaxItems, "vectors")
		}
		var one json.RawMessage
		if err := d.Decode(&one); err != nil {
			return nil, request.BadJSON(err)
		}
		v, err := vectorOf(one, of)
		if err != nil {
			return nil, problem.Errorf(problem.BadRequest, "vector %d: %v", len(all), err)
		}
		all = append(all, v)
	}
	return all, nil
}
