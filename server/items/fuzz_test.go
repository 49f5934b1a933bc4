package items

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"vicreg/pipeline/stats"
	"vicreg/server/index"
	"vicreg/server/problem"
	"vicreg/server/servertest"
)

// mostItems is the maximum number of images, items or queries per request in these fuzz targets,
// and mostDetail the maximum length of an error in bytes.
const (
	mostItems  = 3
	mostDetail = 1000
)

// fuzzDim is the dimension of the vectors in these targets.
const fuzzDim = 3

// eitherWay reads a body as a whole and byte by byte, and checks what must hold of every body: the
// result does not depend on how it arrives, all errors are the client's, and memory use is bounded
// by a multiple of its length.
func eitherWay[T any](t *testing.T, body []byte, read func(io.Reader) (T, error)) (v T, taken bool) {
	t.Helper()
	var err error
	if n := servertest.Allocated(func() { v, err = read(bytes.NewReader(body)) }); n > 128<<10+64*len(body) {
		t.Errorf("%d bytes are allocated for a body of %d", n, len(body))
	}
	slow, slowErr := read(iotest.OneByteReader(bytes.NewReader(body)))
	if fmt.Sprint(err) != fmt.Sprint(slowErr) || err == nil && !reflect.DeepEqual(v, slow) {
		t.Errorf("%+v, %v; a byte at a time %+v, %v", v, err, slow, slowErr)
	}
	if err != nil {
		if p := problem.Of(err); p.Code != problem.BadRequest && p.Code != problem.TooLarge || len(p.Detail) > mostDetail {
			t.Errorf("%d bytes of %v", len(p.Detail), p)
		}
	}
	return v, err == nil
}

// comparableVector checks that a vector equals what encoding/json decodes, and is finite and
// nonzero.
func comparableVector(t *testing.T, v []float32, raw json.RawMessage) {
	t.Helper()
	var want []float32
	if err := json.Unmarshal(raw, &want); err != nil || !reflect.DeepEqual(v, want) || len(v) != fuzzDim {
		t.Errorf("%v of %s, %v", v, raw, err)
	}
	if norm := stats.Norm(v); norm == 0 || norm-norm != 0 {
		t.Errorf("%v has the length %v", v, norm)
	}
}

// FuzzSimilar tests the parser of /similar's JSON.
func FuzzSimilar(f *testing.F) {
	for _, body := range []string{
		`{"inputs": ["aGVsbG8=", "https://a.b/c"]}`, `{"id": "a", "k": 3}`, `{"ids": ["a", "b", "c", "d"]}`, `{"vector": [1, -2.5e-3, 0]}`,
		`{"vectors": [[1,2,3], [ 4 ,5,6 ]], "filter": {"a": {"$in": [1, "x"]}}, "threshold": 0.5, "with_metadata": false, "namespace": "n"}`,
		`{"vector": [1, 1e400, 0]}`, `{"vector": [1, null, 0]}`, `{"vector": ["1", 2, 3]}`, `{"vector": [[1, 2, 3]]}`, `{"vector": [0, -0, 0e9]}`, `{"vector": []}`,
		`{"vectors": [[1, 2], 3]}`, `{"vectors": null, "id": "x", "k": 0}`, `{"id": "x", "threshold": 1e-999, "k": 1e3}`, `{"id": "", "filter": 1}`,
		"{\"id\": \"\xff\", \"namespace\": \"\\u0000\"}", `{"ID": "x", "Vector": [1, 2, 3]}`, `[`, ``,
	} {
		f.Add([]byte(body))
	}
	s := &Shelf{config: Config{MaxItems: mostItems}}
	f.Fuzz(func(t *testing.T, body []byte) {
		q, taken := eitherWay(t, body, func(r io.Reader) (*search, error) {
			q := &search{namespace: index.DefaultNamespace, k: defaultK}
			return q, s.readSearchJSON(r, q, index.Binding{Dim: fuzzDim})
		})
		if !taken {
			return
		}
		kinds := 0
		for _, n := range []int{len(q.images), len(q.ids), len(q.vectors)} {
			if kinds += min(n, 1); n > mostItems {
				t.Errorf("%d queries", n)
			}
		}
		if kinds > 1 || q.k < 1 || q.k > index.MaxK || q.least != nil && !(*q.least >= -1 && *q.least <= 1) || index.CheckID(q.namespace) != nil {
			t.Errorf("%+v", q)
		}
		var want struct {
			Vector  json.RawMessage
			Vectors []json.RawMessage
		}
		if err := json.Unmarshal(body, &want); err != nil {
			t.Fatal(err)
		}
		if there(want.Vector) {
			want.Vectors = []json.RawMessage{want.Vector}
		}
		if len(q.vectors) != len(want.Vectors) {
			t.Fatalf("%d vectors of %d", len(q.vectors), len(want.Vectors))
		}
		for i, v := range q.vectors {
			comparableVector(t, v, want.Vectors[i])
		}
	})
}

// FuzzItems tests the parser of /items's JSON.
func FuzzItems(f *testing.F) {
	const good = `{"id": "a", "vector": [1, 2, 3], "metadata": {"a": [1, {"b": null}]}, "source": "s", "sha256": "00"}`
	for _, body := range []string{
		`{"items": [` + good + `]}`, `{"namespace": "n", "items": [` + strings.Repeat(good+",", mostItems) + good + `]}`, `{"items": [{"id": "a", "image": "YQ=="}, {}, null]}`,
		`{"items": [{"id": "a", "image": "YQ==", "vector": [1, 2, 3]}]}`, `{"items": [{"id": 1}]}`, `{"items": ["a"]}`, `{"items": {}}`, `{"items": null}`, `{"items": [{"vector": [1, 2, 1e39]}]}`,
		`{"items": [{"vector": null, "image": null, "sha256": "` + strings.Repeat("aB", 32) + `"}]}`, `{"items": []} {}`, `[`, ``,
	} {
		f.Add([]byte(body))
	}
	s := &Shelf{config: Config{MaxItems: mostItems}}
	f.Fuzz(func(t *testing.T, body []byte) {
		b, taken := eitherWay(t, body, func(r io.Reader) (*bulk, error) {
			b := &bulk{namespace: index.DefaultNamespace}
			return b, s.readItems(r, b, index.Binding{Dim: fuzzDim})
		})
		if !taken {
			return
		}
		var want struct {
			Items []struct {
				ID     string
				Vector json.RawMessage
			}
		}
		if err := json.Unmarshal(body, &want); err != nil || len(b.items) != len(want.Items) || len(b.items) > mostItems || index.CheckID(b.namespace) != nil {
			t.Fatalf("%v, %+v of %d", err, b, len(want.Items))
		}
		for i, g := range b.items {
			if g.err != nil {
				continue
			}
			if g.id != want.Items[i].ID || (g.image == nil) == (g.vector == nil) || len(g.hash) != 0 && len(g.hash) != 32 {
				t.Errorf("%+v of %+v", g, want.Items[i])
			}
			if g.vector != nil {
				comparableVector(t, g.vector, want.Items[i].Vector)
			}
		}
	})
}
