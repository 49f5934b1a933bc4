package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"image/jpeg"
	"mime/multipart"
	"net/http/httptest"
	"net/textproto"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"vicreg/server/index"
	"vicreg/server/problem"
	"vicreg/server/servertest"
)

const asJSON = "application/json"

// read decodes the JSON of an answer, which must have this status.
func read[T any](t *testing.T, w *httptest.ResponseRecorder, status int) (v T) {
	t.Helper()
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || w.Code != status {
		t.Fatalf("status %d, want %d, %v in %.300s", w.Code, status, err, w.Body)
	}
	return v
}

// told checks that an answer is a problem with this status, code and text.
func told(t *testing.T, name string, w *httptest.ResponseRecorder, status int, c problem.Code, words string) {
	t.Helper()
	var d problem.Document
	if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil || w.Code != status || d.Status != status ||
		d.Type != "urn:vicreg:problem:"+string(c) || !strings.Contains(d.Detail, words) {
		t.Errorf("%s: %d %s, want %d %s with %q", name, w.Code, w.Body, status, c, words)
	}
}

type storedItem struct {
	ID, Namespace     string
	Created           bool
	Metadata          json.RawMessage
	Source, Thumbnail *string
	Hash              *string `json:"sha256"`
	Vector            []float32
}

// An item stored as a picture comes back with its vector, hash and thumbnail; storing it again
// replaces it, and deleting removes it.
func TestItem(t *testing.T) {
	s, m := indexed(t, nil)
	file := servertest.Photo(t, 300)
	path := "/items/a?metadata=" + url.QueryEscape(`{"label": "cat"}`) + "&source=a.png"
	for _, created := range []bool{true, false} {
		w := ask(s, "PUT", path, file, "Content-Type", "image/png")
		if got := read[storedItem](t, w, map[bool]int{true: 201, false: 200}[created]); got.ID != "a" || got.Namespace != "default" || got.Created != created {
			t.Errorf("%+v", got)
		}
	}
	got := read[storedItem](t, ask(s, "GET", "/items/a?with_vector=true", nil), 200)
	want := direct(t, s, file)
	sum := sha256.Sum256(file)
	if !close32(got.Vector, want, 1e-5) || *got.Hash != hex.EncodeToString(sum[:]) || *got.Source != "a.png" || string(got.Metadata) != `{"label":"cat"}` {
		t.Errorf("%+v", got)
	}
	w := ask(s, "GET", "/"+*got.Thumbnail, nil)
	small, err := jpeg.Decode(w.Body)
	if err != nil || small.Bounds().Dx() != 192 || w.Header().Get("Content-Type") != "image/jpeg" {
		t.Errorf("thumbnail: %d, %v, %v", w.Code, err, w.Header())
	}
	if w := ask(s, "GET", "/"+*got.Thumbnail, nil, "If-None-Match", w.Header().Get("ETag")); w.Code != 304 {
		t.Errorf("a thumbnail that is known: %d", w.Code)
	}
	if w := ask(s, "DELETE", "/items/a", nil); w.Code != 204 || w.Body.Len() != 0 || m.Len() != 0 {
		t.Errorf("delete: %d %s", w.Code, w.Body)
	}
	for _, r := range []string{"GET /items/a", "GET /items/a/thumbnail", "DELETE /items/a"} {
		method, path, _ := strings.Cut(r, " ")
		told(t, r, ask(s, method, path, nil), 404, problem.UnknownItem, `"a" is not in namespace "default"`)
	}
}

// An item stored as a vector has neither hash nor thumbnail.
func TestItemOfAVector(t *testing.T) {
	s, _ := indexed(t, nil)
	v := unit(s, 0)
	body := fmt.Sprintf(`{"vector": %s, "metadata": null, "namespace": "n"}`, v)
	read[storedItem](t, ask(s, "PUT", "/items/v?namespace=other", []byte(body), "Content-Type", asJSON), 201)
	got := read[storedItem](t, ask(s, "GET", "/items/v?namespace=n", nil), 200)
	if got.Hash != nil || got.Thumbnail != nil || got.Source != nil || string(got.Metadata) != "{}" || got.Vector != nil || got.Namespace != "n" {
		t.Errorf("%+v", got)
	}
	told(t, "thumbnail", ask(s, "GET", "/items/v/thumbnail?namespace=n", nil), 404, problem.UnknownItem, "has no thumbnail")
	told(t, "other namespace", ask(s, "GET", "/items/v", nil), 404, problem.UnknownItem, `"default"`)
}

// unit is a unit vector along one axis, in JSON.
func unit(s *Server, axis int) string {
	numbers := make([]string, s.current().Dim())
	for i := range numbers {
		numbers[i] = "0"
	}
	numbers[axis] = "1"
	return "[" + strings.Join(numbers, ", ") + "]"
}

// Ids may be any text, URL-escaped.
func TestItemIDs(t *testing.T) {
	s, m := indexed(t, nil)
	body := []byte(fmt.Sprintf(`{"vector": %s}`, unit(s, 1)))
	for _, id := range []string{"a", "a/b c%.jpg", "x/thumbnail", "/", "%2F", "100%", "ä/ö ü", "a+b", "?#&=", ":id", "*", "...", strings.Repeat("x", index.MaxID)} {
		path := "/items/" + url.PathEscape(id)
		if got := read[storedItem](t, ask(s, "PUT", path, body, "Content-Type", asJSON), 201); got.ID != id || !m.Has("default", id) {
			t.Errorf("%q became %q", id, got.ID)
		}
		if got := read[storedItem](t, ask(s, "GET", path, nil), 200); got.ID != id {
			t.Errorf("%q became %q", id, got.ID)
		}
		told(t, id, ask(s, "GET", path+"/thumbnail", nil), 404, problem.UnknownItem, "has no thumbnail")
		if w := ask(s, "DELETE", path, nil); w.Code != 204 {
			t.Errorf("delete %q: %d %s", id, w.Code, w.Body)
		}
	}
	for path, words := range map[string]string{
		"/items//thumbnail": "the id is empty",
		"/items/a%00b":      "control characters",
		"/items/a%0ab":      "control characters",
		"/items/%C2%85":     "control characters",
		"/items/%ff":        "is not UTF-8",
		"/items/" + strings.Repeat("x", index.MaxID+1):             "513 bytes",
		"/items/a?namespace=" + strings.Repeat("x", index.MaxID+1): "the namespace has 513 bytes",
		"/items/a?namespace=%00":                                   `the namespace "\x00" has control`,
	} {
		for _, method := range []string{"PUT", "GET", "DELETE"} {
			if strings.HasSuffix(path, "/thumbnail") && method != "GET" {
				continue
			}
			told(t, method+" "+path, ask(s, method, path, body, "Content-Type", asJSON), 400, problem.BadRequest, words)
		}
	}
}

// A client that sends a vector may add the hash of its image; the hash of an image that is sent is
// checked.
func TestItemsHash(t *testing.T) {
	s, _ := indexed(t, nil)
	file := servertest.Photo(t, 0)
	sum := fmt.Sprintf("%x", sha256.Sum256(file))
	for id, body := range map[string]string{
		"v": `{"vector": ` + unit(s, 0) + `, "sha256": "` + strings.ToUpper(sum) + `"}`,
		"i": `{"image": "` + base64.StdEncoding.EncodeToString(file) + `", "sha256": "` + sum + `"}`,
	} {
		read[storedItem](t, ask(s, "PUT", "/items/"+id, []byte(body), "Content-Type", asJSON), 201)
		if got := read[storedItem](t, ask(s, "GET", "/items/"+id, nil), 200); *got.Hash != sum {
			t.Errorf("%s: %+v", id, got)
		}
	}
}

// What cannot be stored is rejected with the reason, and nothing of it is stored.
func TestItemRefused(t *testing.T) {
	s, m := indexed(t, nil)
	good, v := servertest.Photo(t, 0), unit(s, 0)
	text := base64.StdEncoding.EncodeToString(good)
	many, manyKind := form(t, good, good)
	for name, c := range map[string]struct {
		query, kind, body string
		status            int
		words             string
	}{
		"no image":           {"", "image/png", "hello", 422, "not a JPEG"},
		"no image in JSON":   {"", asJSON, `{"image": "aGVsbG8="}`, 422, "not a JPEG"},
		"an address":         {"", asJSON, `{"image": "https://a.b/c.png"}`, 422, "not fetched"},
		"neither":            {"", asJSON, `{"metadata": {}}`, 400, "image and vector"},
		"both":               {"", asJSON, `{"image": "` + text + `", "vector": ` + v + `}`, 400, "image and vector"},
		"short":              {"", asJSON, `{"vector": [1, 2]}`, 400, "it has 2 numbers"},
		"empty":              {"", asJSON, `{"vector": []}`, 400, "it has 0 numbers"},
		"no vector":          {"", asJSON, `{"vector": "x"}`, 400, "not a list"},
		"zero":               {"", asJSON, `{"vector": ` + strings.Replace(v, "1", "0", 1) + `}`, 400, "zero"},
		"tiny":               {"", asJSON, `{"vector": ` + strings.Replace(v, "1", "1e-400", 1) + `}`, 400, "zero"},
		"huge":               {"", asJSON, `{"vector": ` + strings.Replace(v, "1", "1e400", 1) + `}`, 400, "1e400, at 0, is not a finite"},
		"over float32":       {"", asJSON, `{"vector": ` + strings.Replace(v, "1", "-1e39", 1) + `}`, 400, "-1e39, at 0, is not a finite"},
		"NaN":                {"", asJSON, `{"vector": ` + strings.Replace(v, "1", "NaN", 1) + `}`, 400, "JSON"},
		"NaN as a text":      {"", asJSON, `{"vector": ` + strings.Replace(v, "1", `"NaN"`, 1) + `}`, 400, `"NaN", at 0`},
		"null among numbers": {"", asJSON, `{"vector": ` + strings.Replace(v, "1", "null", 1) + `}`, 400, "null, at 0"},
		"a number as a text": {"", asJSON, `{"vector": ` + strings.Replace(v, "1", `"1"`, 1) + `}`, 400, `"1", at 0`},
		"a parameter":        {"?metdata={}", "image/png", string(good), 400, "unknown parameter \"metdata\": want one of namespace, metadata, source"},
		"metadata no object": {"?metadata=1", "image/png", string(good), 400, "it is not a JSON object"},
		"metadata a text":    {"", asJSON, `{"vector": ` + v + `, "metadata": "x"}`, 400, "it is not a JSON object"},
		"metadata too large": {"", asJSON, `{"vector": ` + v + `, "metadata": {"x": "` + strings.Repeat("x", index.MaxMetadata) + `"}}`, 400, "the metadata has"},
		"source too long":    {"?source=" + strings.Repeat("x", index.MaxID+1), "image/png", string(good), 400, "the source has 513 bytes"},
		"sha256":             {"", asJSON, `{"vector": ` + v + `, "sha256": "abc"}`, 400, "sha256"},
		"another's sha256":   {"", asJSON, `{"image": "` + text + `", "sha256": "` + strings.Repeat("a", 64) + `"}`, 400, "does not match the image's, "},
		"unknown field":      {"", asJSON, `{"vector": ` + v + `, "vectors": []}`, 400, "vectors"},
		"an id in the body":  {"", asJSON, `{"vector": ` + v + `, "id": "b"}`, 400, "id"},
		"namespace":          {"", asJSON, `{"vector": ` + v + `, "namespace": "\u0000"}`, 400, "control"},
		"two files":          {"", manyKind, string(many), 400, "more than one image"},
		"type":               {"", "text/plain", "x", 415, "send an image"},
		"no type":            {"", "", "x", 415, "send an image"},
	} {
		w := ask(s, "PUT", "/items/a"+c.query, []byte(c.body), "Content-Type", c.kind)
		told(t, name, w, c.status, map[int]problem.Code{400: problem.BadRequest, 415: problem.BadMediaType, 422: problem.BadImage}[c.status], c.words)
	}
	if m.Len() != 0 {
		t.Errorf("%d items are stored", m.Len())
	}
}

// formOf is a form with these files and fields.
func formOf(t testing.TB, fields map[string]string, files map[string][]byte) (body []byte, kind string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for name, value := range fields {
		if err := w.WriteField(name, value); err != nil {
			t.Fatal(err)
		}
	}
	for name, file := range files {
		part, err := w.CreatePart(textproto.MIMEHeader{"Content-Disposition": {fmt.Sprintf(`form-data; name="file"; filename="%s"`, name)}})
		if err != nil {
			t.Fatal(err)
		}
		part.Write(file)
	}
	w.Close()
	return b.Bytes(), w.FormDataContentType()
}

// The body overrides the parameters.
func TestItemInAForm(t *testing.T) {
	s, _ := indexed(t, nil)
	body, kind := formOf(t, map[string]string{"namespace": "n", "metadata": `{"a":1}`, "source": "there"}, map[string][]byte{"x.png": servertest.Photo(t, 0)})
	read[storedItem](t, ask(s, "PUT", "/items/a?namespace=o&metadata={}&source=here", body, "Content-Type", kind), 201)
	got := read[storedItem](t, ask(s, "GET", "/items/a?namespace=n", nil), 200)
	if string(got.Metadata) != `{"a":1}` || *got.Source != "there" || *got.Thumbnail != "items/a/thumbnail?namespace=n" {
		t.Errorf("%+v", got)
	}
	for field, words := range map[string]string{"x": `part "x" is neither a file`, "namespace": "control"} {
		body, kind := formOf(t, map[string]string{field: "\x01"}, nil)
		told(t, field, ask(s, "PUT", "/items/a", body, "Content-Type", kind), 400, problem.BadRequest, words)
	}
	body, kind = formOf(t, map[string]string{"source": "x"}, nil)
	told(t, "no file", ask(s, "PUT", "/items/a", body, "Content-Type", kind), 400, problem.BadRequest, "no image")
}

// A picture whose vector is cached still gets its hash and thumbnail.
func TestItemOfAKnownPicture(t *testing.T) {
	s, m := indexed(t, nil)
	file := servertest.Photo(t, 0)
	if w := ask(s, "POST", "/embed", file, "Content-Type", "image/png"); w.Code != 200 {
		t.Fatal(w.Code)
	}
	for _, id := range []string{"a", "b"} {
		w := ask(s, "PUT", "/items/"+id, file, "Content-Type", "image/png")
		if read[storedItem](t, w, 201); w.Header().Get("X-Batch-Size") != "" {
			t.Error("the model ran again")
		}
	}
	items := m.spaces["default"]
	if len(items[0].Thumbnail) == 0 || !bytes.Equal(items[0].Thumbnail, items[1].Thumbnail) || len(items[0].Hash) != 32 {
		t.Errorf("thumbnails of %d and %d bytes", len(items[0].Thumbnail), len(items[1].Thumbnail))
	}
}

// If several clients store the same id at once, exactly one is told that it was created.
func TestItemCreatedOnce(t *testing.T) {
	path, weights := filepath.Join(t.TempDir(), "photos.index"), uint64(1)
	s, _ := keeping(t, path, false, &weights)
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	body := []byte(`{"vector": ` + unit(s, 0) + `}`)
	var wait sync.WaitGroup
	var made atomic.Int64
	for i := range 40 {
		wait.Go(func() {
			switch w := ask(s, "PUT", fmt.Sprint("/items/", i%10), body, "Content-Type", asJSON); w.Code {
			case 201:
				made.Add(1)
			case 200:
			default:
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	wait.Wait()
	if made.Load() != 10 {
		t.Errorf("10 items were made %d times", made.Load())
	}
}

// An answer is limited to the size of a request.
func TestSimilarBounded(t *testing.T) {
	s, m := indexed(t, func(c *Config) { c.MaxBody = 30_000 })
	var items []index.Item
	for i := range 40 {
		v := make([]float32, s.current().Dim())
		v[0] = 1
		items = append(items, index.Item{ID: fmt.Sprint(i), Vector: v, Metadata: fmt.Appendf(nil, `{"x": "%s"}`, strings.Repeat("x", 1000))})
	}
	if _, err := m.Upsert(t.Context(), "default", items...); err != nil {
		t.Fatal(err)
	}
	body := []byte(`{"vector": ` + unit(s, 0) + `, "k": 40}`)
	told(t, "too much", ask(s, "POST", "/similar", body, "Content-Type", asJSON), 413, problem.TooLarge, "with_metadata=false")
	if w := ask(s, "POST", "/similar?with_metadata=false", body, "Content-Type", asJSON); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
