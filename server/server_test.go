package server

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"log/slog"
	"math"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vicreg/models"
	"vicreg/models/onnx"
	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
)

// model is the file of a small backbone with weights that were drawn.
func model(t *testing.T) []byte {
	t.Helper()
	backbone, err := models.NewResNet("resnet18", "cifar", 4)
	if err != nil {
		t.Fatal(err)
	}
	c := models.Config{Backbone: backbone, Size: 16, Batch: 2, Mean: [3]float64{0.5, 0.5, 0.5}, Std: [3]float64{0.25, 0.25, 0.25},
		Expander: models.Expander{Widths: []int{8, 8}, Activation: "relu"}, Loss: models.Loss{Invariance: 25, Variance: 25, Covariance: 1}}
	eval, err := models.Eval(c)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]*tensor.Tensor{}
	for _, p := range eval.Params {
		values[p.Name] = p.InitialValue(1)
		if strings.HasSuffix(p.Name, "bn2.weight") { // else every block is the identity
			for i := range values[p.Name].Float32() {
				values[p.Name].Float32()[i] = 1
			}
		}
	}
	g, err := models.Export(c, values)
	if err != nil {
		t.Fatal(err)
	}
	m, err := g.Model()
	if err != nil {
		t.Fatal(err)
	}
	metadata := &encoder.Metadata{Preprocess: imaging.Preprocess{Crop: 16, Interpolation: "bicubic"},
		Normalization: encoder.Normalization{Mean: c.Mean, Std: c.Std}, Dim: backbone.Dim(), Center: make([]float32, backbone.Dim())}
	if err := metadata.Attach(m); err != nil {
		t.Fatal(err)
	}
	file, err := onnx.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// start is a server with the settings that change makes of the defaults.
func start(t *testing.T, change func(*Config)) *Server {
	t.Helper()
	enc, err := encoder.New(orttest.Open(t), model(t), ort.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	config := Defaults(2)
	config.MaxBatch = 8
	if change != nil {
		change(&config)
	}
	s, err := New(enc, config, slog.New(slog.NewJSONHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := enc.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// photo is a PNG file that is different for each n.
func photo(t *testing.T, n int) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, 20+n, 24))
	for y := range 24 {
		for x := range 20 + n {
			m.Set(x, y, color.RGBA{uint8(x*y + 31*n), uint8(9*x + n), uint8(7 * y), 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// ask sends a request to the handler.
func ask(s *Server, method, path string, body []byte, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

// reply is the JSON form of an answer.
type reply struct {
	Model string
	Dim   int
	Data  []struct {
		Index     int
		Embedding json.RawMessage
		Error     *document
	}
	Usage struct{ Images int }
}

func parse(t *testing.T, w *httptest.ResponseRecorder) reply {
	t.Helper()
	var r reply
	if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil || w.Code != http.StatusOK {
		t.Fatalf("status %d, %v in %s", w.Code, err, w.Body)
	}
	return r
}

func numbers(t *testing.T, raw json.RawMessage) (v []float32) {
	t.Helper()
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func floats(b []byte) (v []float32) {
	for ; len(b) >= 4; b = b[4:] {
		v = append(v, math.Float32frombits(binary.LittleEndian.Uint32(b)))
	}
	return v
}

func close32(a, b []float32, by float64) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Abs(float64(x-y)) <= by })
}

func form(t *testing.T, files ...[]byte) (body []byte, kind string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i, f := range files {
		part, err := w.CreateFormFile("file", fmt.Sprintf("%d.png", i))
		if err != nil {
			t.Fatal(err)
		}
		part.Write(f)
	}
	w.Close()
	return b.Bytes(), w.FormDataContentType()
}

func inputs(files ...[]byte) []byte {
	list := []string{}
	for i, f := range files {
		text := base64.StdEncoding.EncodeToString(f)
		if i%2 == 1 {
			text = "data:image/png;base64," + text
		}
		list = append(list, text)
	}
	body, _ := json.Marshal(map[string]any{"inputs": list})
	return body
}

// Every form of input and output gives the numbers of the encoder itself.
func TestEveryFormGivesTheSameNumbers(t *testing.T) {
	s := start(t, nil)
	files := [][]byte{photo(t, 0), photo(t, 1), photo(t, 2)}
	var want [][]float32
	for i, f := range files {
		v, err := s.enc.EncodeImage(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, v)
		w := ask(s, "POST", "/embed", f, "Content-Type", "image/png")
		r := parse(t, w)
		if got := numbers(t, r.Data[0].Embedding); !close32(got, v, 1e-5) || r.Dim != len(v) || r.Model != s.enc.Fingerprint() || r.Usage.Images != 1 {
			t.Errorf("image %d as the body: %+v", i, r)
		}
		if w.Header().Get("X-Model-Fingerprint") != s.enc.Fingerprint() || !strings.HasPrefix(w.Header().Get("Server-Timing"), "decode;dur=") {
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
		if w.Header().Get("X-Shape") != fmt.Sprintf("3,%d", s.enc.Dim()) || len(rows) != 3*s.enc.Dim() {
			t.Fatalf("%s: shape %q, %d numbers", c.name, w.Header().Get("X-Shape"), len(rows))
		}
		npy := ask(s, "POST", "/embed", c.body, "Content-Type", c.kind, "Accept", "text/html;q=0.9, application/x-npy;q=0.5")
		if !bytes.Equal(npy.Body.Bytes()[128:], w.Body.Bytes()) || !strings.Contains(npy.Body.String(), fmt.Sprintf("'shape': (3, %d)", s.enc.Dim())) {
			t.Errorf("%s: .npy differs", c.name)
		}
		for i, v := range want {
			if got := numbers(t, r.Data[i].Embedding); !close32(got, v, 1e-5) || !slices.Equal(got, rows[i*s.enc.Dim():(i+1)*s.enc.Dim()]) {
				t.Errorf("%s: image %d differs", c.name, i)
			}
		}
	}
}

func TestNormalizeAndBase64(t *testing.T) {
	s := start(t, nil)
	text := base64.StdEncoding.EncodeToString(photo(t, 0))
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
	if len(v) != s.enc.Dim() || math.Abs(sum-1) > 1e-5 {
		t.Errorf("%d numbers, squared length %v", len(v), sum)
	}
	again := parse(t, ask(s, "POST", "/embed?normalize=true", photo(t, 0), "Content-Type", "image/png"))
	if !close32(numbers(t, again.Data[0].Embedding), v, 1e-6) {
		t.Error("?normalize=true gives other numbers")
	}
}

// One bad image fails alone.
func TestBadImagesFailAlone(t *testing.T) {
	s := start(t, nil)
	body := inputs(photo(t, 0), []byte("no image"), photo(t, 1))
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

// Each status is provoked once, and is a problem document with the request's id.
func TestEveryStatus(t *testing.T) {
	s := start(t, func(c *Config) { c.MaxItems, c.MaxBody, c.Limits.Pixels = 2, 20_000, 5_000 })
	good := photo(t, 0)
	wide, kind := form(t, good, good, good)
	fields, fieldsKind := func() ([]byte, string) {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		w.WriteField("text", "hello")
		w.Close()
		return b.Bytes(), w.FormDataContentType()
	}()
	large := bytes.Repeat([]byte("x"), 20_001)
	for _, c := range []struct {
		name, method, path string
		body               []byte
		kind, accept       string
		status             int
		detail             string
	}{
		{"JSON cut off", "POST", "/embed", []byte(`{"inputs": [`), "application/json", "", 400, "the JSON cannot be read"},
		{"no inputs", "POST", "/embed", []byte(`{"inputs": []}`), "application/json", "", 400, "there is no image"},
		{"unknown field", "POST", "/embed", []byte(`{"input": "x"}`), "application/json", "", 400, "input"},
		{"two values", "POST", "/embed", []byte(`{"inputs": []} {}`), "application/json", "", 400, "more than one"},
		{"dimensions", "POST", "/embed", []byte(`{"inputs": [], "dimensions": 3}`), "application/json", "", 400, "cannot be cut"},
		{"encoding", "POST", "/embed", []byte(`{"inputs": [], "encoding_format": "hex"}`), "application/json", "", 400, "want float or base64"},
		{"no file", "POST", "/embed", fields, fieldsKind, "", 400, "is no file"},
		{"form cut off between parts", "POST", "/embed", wide[:bytes.LastIndex(wide, []byte("Content-Disposition"))], kind, "", 400, "cannot be read"},
		{"no form", "POST", "/embed", []byte("abc"), kind, "", 400, "cannot be read"},
		{"normalize", "POST", "/embed?normalize=si", good, "image/png", "", 400, "want true or false"},
		{"number", "POST", "/embed", []byte(`{"inputs": [1]}`), "application/json", "", 400, "no list of strings"},
		{"form cut off", "POST", "/embed", wide[:300], kind, "", 400, "cannot be read"},
		{"path", "GET", "/nothing", nil, "", "", 404, ""},
		{"method", "GET", "/embed", nil, "", "", 405, ""},
		{"accept", "POST", "/embed", good, "image/png", "text/html", 406, "on offer"},
		{"body", "POST", "/embed", large, "image/png", "", 413, "20000 bytes"},
		{"items", "POST", "/embed", wide, kind, "", 413, "more than 2 images"},
		{"JSON items", "POST", "/embed", inputs(good, good, good), "application/json", "", 413, "more than 2 images"},
		{"no type", "POST", "/embed", good, "", "", 415, "Content-Type"},
		{"type", "POST", "/embed", good, "text/plain", "", 415, "text/plain"},
		{"no image", "POST", "/embed", []byte("hello"), "image/png", "", 422, ""},
		{"pixels", "POST", "/embed", photo(t, 300), "image/png", "", 422, "over the limit"},
		{"TIFF", "POST", "/embed", []byte("II*\x00\x08\x00\x00\x00"), "image/tiff", "", 422, ""},
		{"cut off", "POST", "/embed", photo(t, 0)[:50], "image/png", "", 422, ""},
	} {
		headers := []string{"X-Request-Id", "id-1"}
		if c.kind != "" {
			headers = append(headers, "Content-Type", c.kind)
		}
		if c.accept != "" {
			headers = append(headers, "Accept", c.accept)
		}
		w := ask(s, c.method, c.path, c.body, headers...)
		var d document
		err := json.Unmarshal(w.Body.Bytes(), &d)
		if err != nil || w.Code != c.status || d.Status != c.status || d.Instance != "id-1" || !strings.Contains(d.Detail, c.detail) ||
			w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: got %d %s, want %d with %q", c.name, w.Code, w.Body, c.status, c.detail)
		}
	}
	if w := ask(s, "POST", "/embed", []byte(`{"inputs": ["https://example.org/cat.jpg"]}`), "Content-Type", "application/json"); !strings.Contains(w.Body.String(), "not fetched") {
		t.Errorf("an address: %s", w.Body)
	}
}

func TestKeys(t *testing.T) {
	s := start(t, func(c *Config) { c.Keys = []string{"first", "second"} })
	for header, want := range map[string]int{"": 401, "Bearer third": 401, "first": 401, "Bearer ": 401, "Bearer first": 200, "bearer second": 200} {
		w := ask(s, "POST", "/embed", photo(t, 0), "Content-Type", "image/png", "Authorization", header)
		if w.Code != want || want == 401 && w.Header().Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%q: got %d, want %d", header, w.Code, want)
		}
	}
	if w := ask(s, "GET", "/livez", nil); w.Code != 200 {
		t.Errorf("a probe has no key: got %d", w.Code)
	}
}

// A queue of 8 cannot take 9 images, and says when to come again; one that is too
// late is told so.
func TestFullAndLate(t *testing.T) {
	s := start(t, func(c *Config) { c.Queue, c.MaxItems = 8, 9 })
	files := make([][]byte, 9)
	for i := range files {
		files[i] = photo(t, i)
	}
	w := ask(s, "POST", "/embed", inputs(files...), "Content-Type", "application/json")
	if w.Code != 429 || w.Header().Get("Retry-After") == "" {
		t.Errorf("got %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	s.config.Deadline = time.Nanosecond
	if w := ask(s, "POST", "/embed", files[0], "Content-Type", "image/png"); w.Code != 504 {
		t.Errorf("after the deadline: %d %s", w.Code, w.Body)
	}
}

func TestProbes(t *testing.T) {
	s := start(t, nil)
	for path, want := range map[string]string{"/livez": `"alive":true`, "/readyz": `"ready":true`, "/info": `"fingerprint"`, "/metrics": "vicreg_queue_depth 0"} {
		if w := ask(s, "GET", path, nil); w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	ask(s, "POST", "/embed", photo(t, 0), "Content-Type", "image/png")
	ask(s, "POST", "/embed", nil, "Content-Type", "image/png")
	text := ask(s, "GET", "/metrics", nil).Body.String()
	for _, want := range []string{`vicreg_requests_total{code="200",route="/embed"} 1`, `vicreg_requests_total{code="422",route="/embed"} 1`, `vicreg_rejected_total{reason="bad-image"} 1`, "vicreg_images_total 1"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if w := ask(s, "HEAD", "/readyz", nil); w.Code != 200 {
		t.Errorf("HEAD: %d", w.Code)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	r := httptest.NewRequest("POST", "/embed", bytes.NewReader(photo(t, 0))).WithContext(gone)
	r.Header.Set("Content-Type", "image/png")
	w := httptest.NewRecorder()
	if s.Handler().ServeHTTP(w, r); w.Code != 499 {
		t.Errorf("a client who left: %d", w.Code)
	}
	if w := ask(s, "POST", "/embed", photo(t, 0), "Content-Type", "image/png", "Content-Encoding", "gzip"); w.Code != 415 {
		t.Errorf("compressed: %d", w.Code)
	}
	s.canary.last.Store(time.Now().Add(-2 * canaryStale).UnixNano())
	if w := ask(s, "GET", "/livez", nil); w.Code != 503 {
		t.Errorf("with an old canary: %d", w.Code)
	}
	s.ready.Store(false)
	for _, c := range [][2]string{{"GET", "/readyz"}, {"POST", "/embed"}} {
		if w := ask(s, c[0], c[1], nil); w.Code != 503 || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s while stopping: %d", c[1], w.Code)
		}
	}
}

// A canary whose vector changes is an error.
func TestCanaryNotices(t *testing.T) {
	s := start(t, nil)
	if err := s.canary.send(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	s.canary.golden = slices.Clone(s.canary.golden)
	s.canary.golden[3] += 1
	if err := s.canary.send(t.Context(), s); err == nil || !strings.Contains(err.Error(), "number 3") {
		t.Errorf("got %v", err)
	}
}

func TestRequestIDs(t *testing.T) {
	s := start(t, nil)
	for sent, keep := range map[string]bool{"abc-1": true, "": false, "with space": false, strings.Repeat("x", 200): false} {
		got := ask(s, "GET", "/livez", nil, "X-Request-Id", sent).Header().Get("X-Request-Id")
		if got == "" || (got == sent) != keep {
			t.Errorf("%q: got %q", sent, got)
		}
	}
	if got := ask(s, "GET", "/livez", nil, "traceparent", "00-a-b-01").Header().Get("traceparent"); got != "00-a-b-01" {
		t.Errorf("traceparent %q", got)
	}
}

// Many clients at once get their own vectors.
func TestManyClients(t *testing.T) {
	s := start(t, nil)
	var files [][]byte
	var want [][]float32
	for i := range 10 {
		files = append(files, photo(t, i))
		v, err := s.enc.EncodeImage(t.Context(), files[i])
		if err != nil {
			t.Fatal(err)
		}
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

// A server that is told to stop answers what it has begun, and takes no more.
func TestRunDrains(t *testing.T) {
	s := start(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, l, nil) }()

	body, file := io.Pipe()
	request, err := http.NewRequest("POST", "http://"+l.Addr().String()+"/embed", body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "image/png")
	answer := make(chan int, 1)
	go func() {
		r, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Error(err)
			answer <- 0
			return
		}
		defer r.Body.Close()
		answer <- r.StatusCode
	}()
	photo := photo(t, 0)
	file.Write(photo[:100])
	for !strings.Contains(ask(s, "GET", "/metrics", nil).Body.String(), "vicreg_requests_in_flight 1") {
		time.Sleep(time.Millisecond)
	}
	cancel()
	for ask(s, "GET", "/readyz", nil).Code != 503 {
		time.Sleep(time.Millisecond)
	}
	file.Write(photo[100:])
	file.Close()
	if code := <-answer; code != 200 {
		t.Errorf("the request under way: %d", code)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := http.Get("http://" + l.Addr().String() + "/livez"); err == nil {
		t.Error("it still listens")
	}
}

// A body that does not come is 408.
func TestSlowBody(t *testing.T) {
	s := start(t, func(c *Config) { c.Deadline = 300 * time.Millisecond })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, l, nil) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\nabc")
	answer, err := io.ReadAll(conn)
	if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 408 ")) {
		t.Errorf("%v, %q", err, answer)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A panic in a handler is one failed request.
func TestSurvive(t *testing.T) {
	s := start(t, nil)
	pool, batcher := s.pool, s.batcher
	defer func() { s.pool, s.batcher = pool, batcher }()
	s.batcher = nil // in the handler
	if w := ask(s, "POST", "/embed", photo(t, 0), "Content-Type", "image/png"); w.Code != 500 {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	s.pool, s.batcher = nil, batcher // in a goroutine of it
	if w := ask(s, "POST", "/embed", photo(t, 0), "Content-Type", "image/png"); w.Code != 500 {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}
