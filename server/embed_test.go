package server

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"vicreg/server/servertest"
)

// All input and output formats return the same numbers as the encoder itself.
func TestEveryFormGivesTheSameNumbers(t *testing.T) {
	s := start(t, nil)
	files := [][]byte{servertest.Photo(t, 0), servertest.Photo(t, 1), servertest.Photo(t, 2)}
	var want [][]float32
	for i, f := range files {
		v := direct(t, s, f)
		want = append(want, v)
		w := ask(s, "POST", "/embed", f, "Content-Type", "image/png")
		r := parse(t, w)
		if got := numbers(t, r.Data[0].Embedding); !close32(got, v, 1e-5) || r.Dim != len(v) || r.Model != s.current().Fingerprint() || r.Usage.Images != 1 {
			t.Errorf("image %d as the body: %+v", i, r)
		}
		if w.Header().Get("X-Model-Fingerprint") != s.current().Fingerprint() || !strings.HasPrefix(w.Header().Get("Server-Timing"), "decode;dur=") {
			t.Errorf("headers %v", w.Header())
		}
	}
	body, kind := form(t, files...)
	for _, c := range []struct {
		name, kind string
		body       []byte
	}{{"form", kind, body}, {"json", "application/json", inputs(files...)}} {
		r := parse(t, ask(s, "POST", "/embed", c.body, "Content-Type", c.kind))
		w := ask(s, "POST", "/embed", c.body, "Content-Type", c.kind, "Accept", "application/octet-stream")
		rows := floats(w.Body.Bytes())
		if w.Header().Get("X-Shape") != fmt.Sprintf("3,%d", s.current().Dim()) || len(rows) != 3*s.current().Dim() {
			t.Fatalf("%s: shape %q, %d numbers", c.name, w.Header().Get("X-Shape"), len(rows))
		}
		npy := ask(s, "POST", "/embed", c.body, "Content-Type", c.kind, "Accept", "text/html;q=0.9, application/x-npy;q=0.5")
		if !bytes.Equal(npy.Body.Bytes()[128:], w.Body.Bytes()) || !strings.Contains(npy.Body.String(), fmt.Sprintf("'shape': (3, %d)", s.current().Dim())) {
			t.Errorf("%s: .npy differs", c.name)
		}
		for i, v := range want {
			if got := numbers(t, r.Data[i].Embedding); !close32(got, v, 1e-5) || !slices.Equal(got, rows[i*s.current().Dim():(i+1)*s.current().Dim()]) {
				t.Errorf("%s: image %d differs", c.name, i)
			}
		}
	}
}

func TestNormalizeAndBase64(t *testing.T) {
	s := start(t, nil)
	text := base64.StdEncoding.EncodeToString(servertest.Photo(t, 0))
	body := fmt.Sprintf(`{"inputs": [%q], "normalize": true, "encoding_format": "base64"}`, text)
	r := parse(t, ask(s, "POST", "/embed", []byte(body), "Content-Type", "application/json"))
	var packed string
	if err := json.Unmarshal(r.Data[0].Embedding, &packed); err != nil {
		t.Fatal(err)
	}
	b, err := base64.StdEncoding.DecodeString(packed)
	if err != nil {
		t.Fatal(err)
	}
	v := floats(b)
	var sum float64
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	if len(v) != s.current().Dim() || math.Abs(sum-1) > 1e-5 {
		t.Errorf("%d numbers, squared length %v", len(v), sum)
	}
	again := parse(t, ask(s, "POST", "/embed?normalize=true", servertest.Photo(t, 0), "Content-Type", "image/png"))
	if !close32(numbers(t, again.Data[0].Embedding), v, 1e-6) {
		t.Error("?normalize=true gives other numbers")
	}
	fields, kind := formOf(t, map[string]string{"normalize": "true", "encoding_format": "base64"}, map[string][]byte{"x": servertest.Photo(t, 0)})
	for name, w := range map[string]*httptest.ResponseRecorder{
		"parameters":         ask(s, "POST", "/embed?normalize=true&encoding_format=base64", servertest.Photo(t, 0), "Content-Type", "image/png"),
		"a form":             ask(s, "POST", "/embed", fields, "Content-Type", kind),
		"the body overrules": ask(s, "POST", "/embed?normalize=false&encoding_format=float", []byte(body), "Content-Type", "application/json"),
	} {
		var text string
		if err := json.Unmarshal(parse(t, w).Data[0].Embedding, &text); err != nil || text != packed {
			t.Errorf("%s: %v, %.100s", name, err, w.Body)
		}
	}
}

// One bad image fails alone.
func TestBadImagesFailAlone(t *testing.T) {
	s := start(t, nil)
	body := inputs(servertest.Photo(t, 0), []byte("no image"), servertest.Photo(t, 1))
	r := parse(t, ask(s, "POST", "/embed", body, "Content-Type", "application/json"))
	if r.Data[0].Error != nil || r.Data[2].Error != nil || r.Usage.Images != 2 || r.Data[2].Index != 2 {
		t.Errorf("the good ones: %+v", r)
	}
	if e := r.Data[1].Error; e == nil || e.Status != 422 || e.Type != "urn:vicreg:problem:bad-image" || r.Data[1].Embedding != nil {
		t.Errorf("the bad one: %+v", r.Data[1])
	}
	if w := ask(s, "POST", "/embed", body, "Content-Type", "application/json", "Accept", "application/x-npy"); w.Code != 422 || !strings.Contains(w.Body.String(), "image 1: ") {
		t.Errorf("in rows: %d %s", w.Code, w.Body)
	}
}

// Many concurrent clients each get their own vectors.
func TestManyClients(t *testing.T) {
	s := start(t, nil)
	var files [][]byte
	var want [][]float32
	for i := range 10 {
		files = append(files, servertest.Photo(t, i))
		v := direct(t, s, files[i])
		want = append(want, v)
	}
	var clients sync.WaitGroup
	for i := range 40 {
		clients.Go(func() {
			for k := range 5 {
				n := (i + k) % 10
				w := ask(s, "POST", "/embed", files[n], "Content-Type", "image/png", "Accept", "application/octet-stream")
				if w.Code != 200 || !close32(floats(w.Body.Bytes()), want[n], 1e-5) {
					t.Errorf("client %d: %d, or another's vector", i, w.Code)
				}
			}
		})
	}
	clients.Wait()
}
