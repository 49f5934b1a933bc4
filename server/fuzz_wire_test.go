package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"vicreg/server/problem"
	"vicreg/server/servertest"
)

// tensors parses an inference request for images of 2x2.
func tensors(r io.Reader, length string) (items [][]uint8, binary bool, err error) {
	request := &http.Request{Header: http.Header{}, Body: io.NopCloser(r)}
	if length != "" {
		request.Header.Set(headerLength, length)
	}
	ask, err := readInfer(request)
	if err == nil {
		items, err = ask.items(2, mostItems)
	}
	if err == nil {
		binary, err = ask.wantsBinary()
	}
	return items, binary, err
}

// numbersOf returns the numbers of a tensor in order, however they are nested.
func numbersOf(v any) (out []uint8) {
	switch v := v.(type) {
	case float64:
		return []uint8{uint8(v)}
	case []any:
		for _, part := range v {
			out = append(out, numbersOf(part)...)
		}
	}
	return out
}

// FuzzInfer tests the bodies of /v2/models/{model}/infer, and the header that gives the length of
// their JSON.
func FuzzInfer(f *testing.F) {
	const ask = `{"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 2, 2, 3], %s}], "outputs": [{"name": "embedding"%s}]}`
	plain := fmt.Sprintf(ask, `"data": [[1, 2, 3, 4], [5, [6]], 7, 8, 9, 10, 255, 0]`, "")
	raw := fmt.Sprintf(ask, `"parameters": {"binary_data_size": 12}`, `, "parameters": {"binary_data": true}`)
	f.Add("", []byte(plain))
	f.Add(fmt.Sprint(len(raw)), []byte(raw+"abcdefghijkl"))
	f.Add(fmt.Sprint(len(plain)), []byte(plain+"abc"))
	f.Add("-1", []byte(raw))
	f.Add("99999999999999999999", []byte(raw))
	f.Add("", []byte(strings.Replace(plain, "255", "256", 1)))
	f.Add("", []byte(strings.Replace(plain, "[1, 2", "[9223372036854775807, 2", 1)))
	f.Add("", []byte(`{"inputs": [{}, {}, {}], "outputs": [null, {}]}`))
	f.Fuzz(func(t *testing.T, length string, body []byte) {
		var items [][]uint8
		var binary bool
		var err error
		if n := servertest.Allocated(func() { items, binary, err = tensors(bytes.NewReader(body), length) }); n > 128<<10+64*len(body) {
			t.Errorf("%d bytes are allocated for a body of %d", n, len(body))
		}
		slow, slowBinary, slowErr := tensors(iotest.OneByteReader(bytes.NewReader(body)), length)
		if fmt.Sprint(err) != fmt.Sprint(slowErr) || !slices.EqualFunc(items, slow, slices.Equal[[]uint8]) || binary != slowBinary {
			t.Errorf("%v, %v; a byte at a time %v, %v", items, err, slow, slowErr)
		}
		if err != nil {
			if p := problem.Of(err); p.Code != problem.BadRequest && p.Code != problem.TooLarge || len(p.Detail) > mostDetail {
				t.Errorf("%d bytes of %v", len(p.Detail), p)
			}
			return
		}
		for _, item := range items {
			if len(item) != 3*2*2 {
				t.Errorf("an image of %d bytes", len(item))
			}
		}
		if len(items) < 1 || len(items) > mostItems {
			t.Errorf("%d images", len(items))
		}
		all := slices.Concat(items...)
		if bytes.HasSuffix(body, all) && length != "" {
			return // raw
		}
		var want struct{ Inputs []struct{ Data any } }
		if err := json.Unmarshal(body[:len(body)-trailing(length, body)], &want); err != nil {
			t.Fatal(err)
		}
		if got := numbersOf(want.Inputs[0].Data); !bytes.Equal(got, all) {
			t.Errorf("%v, want %v", all, got)
		}
	})
}

// trailing is how much of an accepted body follows the JSON.
func trailing(length string, body []byte) int {
	n := len(body)
	fmt.Sscan(length, &n)
	return len(body) - n
}

// FuzzAccept tests the choice of the answer's format from the Accept header.
func FuzzAccept(f *testing.F) {
	for _, header := range []string{"", "*/*", "application/x-npy", "text/html, application/*;q=0.5", "application/json;q=0, */*", "application/json;q=nan", "a/b;q=1;q=0,,;,", "APPLICATION/JSON ; Q=0.1"} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		form, err := accepted(header)
		if err != nil {
			if p := problem.Of(err); p.Code != problem.NotAcceptable || form != "" || len(p.Detail) > mostDetail {
				t.Errorf("%q: %q, %v", header, form, err)
			}
			return
		}
		if !slices.Contains(forms, form) {
			t.Fatalf("%q: %q", header, form)
		}
		for _, other := range forms {
			if header != "" && (quality(header, form) <= 0 || quality(header, other) > quality(header, form)) {
				t.Errorf("%q: %s before %s", header, form, other)
			}
		}
		if header == "" || strings.Contains(strings.ToLower(header), form) {
			return
		}
		if got, err := accepted(header + "," + form + ";q=0"); err == nil && got == form {
			t.Errorf("%q: %s though it is refused by name", header, form)
		}
	})
}
