package indexing

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vicreg/pipeline/dataset"
)

// played is a fake server that answers as it is told and records its requests.
type played struct {
	t *testing.T

	mu     sync.Mutex
	asked  []string // METHOD /path?query
	key    string
	items  [][]entry // of the POST requests
	answer func(w http.ResponseWriter, r *http.Request, items []entry)
}

// play starts a server with small limits. Its client records waits instead of sleeping.
func play(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, items []entry)) (*played, *client, *[]time.Duration) {
	t.Helper()
	p := &played{t: t, answer: answer}
	s := httptest.NewServer(p)
	t.Cleanup(s.Close)
	c, err := newClient(s.URL+"/", "", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	waits := &[]time.Duration{}
	var mu sync.Mutex
	c.pause = func(_ context.Context, d time.Duration) error {
		mu.Lock()
		defer mu.Unlock()
		*waits = append(*waits, d)
		return nil
	}
	return p, c, waits
}

func (p *played) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Namespace string
		Items     []entry
	}
	if r.Method == http.MethodPost {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client gave up: another of its requests has failed
		}
		if err := json.Unmarshal(text, &body); err != nil || body.Namespace != "n" {
			p.t.Errorf("body of namespace %q: %v", body.Namespace, err)
		}
	}
	p.mu.Lock()
	p.asked, p.key = append(p.asked, r.Method+" "+r.URL.RequestURI()), r.Header.Get("Authorization")
	if r.Method == http.MethodPost {
		p.items = append(p.items, body.Items)
	}
	p.mu.Unlock()
	if r.URL.Path == "/info" {
		fmt.Fprint(w, `{"fingerprint":"f00d","dim":3,"limits":{"body_bytes":4000,"images":5},"index":{"fingerprint":"f00d","similarity":"cosine"}}`)
		return
	}
	p.answer(w, r, body.Items)
}

// taken writes the response for items that are all stored, except those in bad.
func taken(w http.ResponseWriter, items []entry, bad map[string]string) {
	type row struct {
		Index int            `json:"index"`
		Error map[string]any `json:"error,omitempty"`
	}
	data := make([]row, len(items))
	for i, it := range items {
		if data[i].Index = i; bad[it.ID] != "" {
			data[i].Error = map[string]any{"status": 422, "detail": bad[it.ID]}
		}
	}
	json.NewEncoder(w).Encode(map[string]any{"data": data})
}

func refuse(w http.ResponseWriter, status int, detail string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"title":"no","detail":%q}`, detail)
}

func TestClientWaitsAsItIsTold(t *testing.T) {
	headers := []map[string]string{{"Retry-After": "7"}, {"Retry-After": "2", "Retry-After-Ms": "1500"}, {}, {"Retry-After": "never"},
		{"Retry-After": time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)}}
	n := 0
	_, c, waits := play(t, func(w http.ResponseWriter, _ *http.Request, _ []entry) {
		if n == len(headers) {
			return
		}
		for k, v := range headers[n] {
			w.Header().Set(k, v)
		}
		n++
		refuse(w, []int{429, 503}[n%2], "busy")
	})
	if err := c.ask(t.Context(), "GET", "items", nil, nil, nil); err == nil || !strings.Contains(err.Error(), "busy") {
		t.Errorf("an hour is more than the patience there is: %v", err)
	}
	if want := []time.Duration{7 * time.Second, 1500 * time.Millisecond, time.Second, time.Second}; !slices.Equal(*waits, want) {
		t.Errorf("waited %v, want %v", *waits, want)
	}
}

func TestClientSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		status     int
		body, want string
	}{
		{401, `{"title":"An API key is missing","detail":"it is"}`, "the server refused the request: it requires an API key; give one with --api-key-file FILE (401)"},
		{409, `{"title":"other model","detail":""}`, "the server refused the request: other model (409)"},
		{502, `<html>`, "the server refused the request: Bad Gateway (502)"},
		{200, `<html>`, "cannot read the server's answer: "},
	} {
		_, client, _ := play(t, func(w http.ResponseWriter, _ *http.Request, _ []entry) {
			w.WriteHeader(c.status)
			fmt.Fprint(w, c.body)
		})
		err := client.ask(t.Context(), "GET", "items", nil, nil, &struct{}{})
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

func TestClientSendsItsKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	put(t, file, []byte("# ours\n\n s3cret \nother\n"))
	p, c, _ := play(t, func(http.ResponseWriter, *http.Request, []entry) {})
	keyed, err := newClient(c.base.String(), file, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := keyed.ask(t.Context(), "DELETE", "items/"+url.PathEscape("a/b c.png"), url.Values{"namespace": {"n"}}, nil, nil); err != nil {
		t.Fatal(err)
	}
	if p.key != "Bearer s3cret" || p.asked[0] != "DELETE /items/a%2Fb%20c.png?namespace=n" {
		t.Errorf("asked %s with %q", p.asked, p.key)
	}
}

func TestClientSaysThatAKeyIsWrong(t *testing.T) {
	_, c, _ := play(t, func(w http.ResponseWriter, _ *http.Request, _ []entry) { refuse(w, 401, "send the header") })
	c.key = "s3cret"
	err := c.ask(t.Context(), "GET", "items", nil, nil, nil)
	if err == nil || err.Error() != "the server refused the request: the given API key is not one of its keys (401)" {
		t.Errorf("got %v", err)
	}
}

// A TLS failure is reported in one sentence, with a remedy.
func TestClientSpeaksOfTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	alert, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer alert.Close()
	go func() {
		for {
			conn, err := alert.Accept()
			if err != nil {
				return
			}
			conn.Read(make([]byte, 4096))
			conn.Write([]byte("\x15\x03\x01\x00\x02\x02\x16\n"))
			conn.Close()
		}
	}()
	host := strings.TrimPrefix(s.URL, "https://")
	for address, want := range map[string]string{
		"http://" + host:                  "cannot reach http://" + host + ": the server uses TLS: give --server https://" + host,
		"http://" + alert.Addr().String(): "cannot reach http://" + alert.Addr().String() + ": the server uses TLS: give --server https://" + alert.Addr().String(),
		"https://" + host:                 "; for a private CA set SSL_CERT_FILE to its certificate",
	} {
		c, err := newClient(address, "", io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.ask(t.Context(), "GET", "info", nil, nil, nil); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", address, err, want)
		}
	}
}

// at connects to a fake server.
func at(t *testing.T, c *client) *remote {
	t.Helper()
	r, err := connect(t.Context(), c, "n")
	if err != nil {
		t.Fatal(err)
	}
	if r.binding.Fingerprint != "f00d" || r.binding.Dim != 3 || r.centered || r.most != 5 || r.room != 4000 {
		t.Fatalf("connected to %+v", r)
	}
	return r
}

// Pages are followed by their cursors.
func TestRemoteKnows(t *testing.T) {
	hash := strings.Repeat("0a", 32)
	p, c, _ := play(t, func(w http.ResponseWriter, r *http.Request, _ []entry) {
		if r.URL.Query().Get("after") == "" {
			fmt.Fprintf(w, `{"total":2,"data":[{"id":"a","metadata":{"n":1},"source":"/a","sha256":%q,"thumbnail":"x"}],"next":"7"}`, hash)
			return
		}
		fmt.Fprint(w, `{"total":2,"data":[{"id":"b","metadata":{},"source":"","sha256":null}],"next":null}`)
	})
	got, err := at(t, c).known(t.Context(), func(int, int) {})
	if err != nil || len(got) != 2 || got["a"].hash[31] != 10 || string(got["a"].metadata) != `{"n":1}` || got["a"].source != "/a" || got["b"].hash[0] != 0 || !got["a"].pictured || got["b"].pictured {
		t.Errorf("got %+v, %v", got, err)
	}
	if want := []string{"GET /info", "GET /items?limit=1000&namespace=n", "GET /items?after=7&limit=1000&namespace=n"}; !slices.Equal(p.asked, want) {
		t.Errorf("asked %q", p.asked)
	}
}

// An empty file is refused for the same reason as without a server, which gets no request.
func TestRemoteEmptyFile(t *testing.T) {
	dir := colours(t, 1)
	put(t, filepath.Join(dir, "empty.png"), nil)
	local := said(t, "add", dir, "--index", filepath.Join(t.TempDir(), "x.index"), "--model", colour(t, 255))
	set, err := dataset.Open(t.Context(), dir, dataset.Options{Index: dataset.NoIndex})
	if err != nil {
		t.Fatal(err)
	}
	sent, c, _ := play(t, func(w http.ResponseWriter, _ *http.Request, items []entry) { taken(w, items, nil) })
	p := &plan{}
	if err := at(t, c).images(t.Context(), set, p, func() {}); err != nil {
		t.Fatal(err)
	}
	if len(sent.items) != 1 || len(sent.items[0]) != 1 || sent.items[0][0].ID != "00.png" {
		t.Errorf("sent %v", sent.items)
	}
	if len(p.bad) != 1 || p.bad[0].Key != "empty.png" {
		t.Fatalf("bad are %v", p.bad)
	}
	want(t, local, "empty.png: "+p.bad[0].Reason+"\n", "empty.png: file is empty")
}

// Images are sent in requests within the server's limits; a request that takes too long is
// halved, and images that the server cannot use are listed.
func TestRemoteImages(t *testing.T) {
	dir := colours(t, 12)
	put(t, filepath.Join(dir, "large.png"), make([]byte, 5000))
	put(t, filepath.Join(dir, "noise.png"), []byte("noise"))
	set, err := dataset.Open(t.Context(), dir, dataset.Options{Index: dataset.NoIndex})
	if err != nil {
		t.Fatal(err)
	}
	late := 0
	var mu sync.Mutex
	p, c, _ := play(t, func(w http.ResponseWriter, r *http.Request, items []entry) {
		mu.Lock()
		defer mu.Unlock()
		if len(items) > 3 && late < 2 {
			late++
			refuse(w, http.StatusGatewayTimeout, "late")
			return
		}
		taken(w, items, map[string]string{"noise.png": "it is noise"})
	})
	plan := &plan{known: map[string]known{}}
	plan.known["03.png"] = known{hash: hashFile(t, filepath.Join(dir, "03.png")), source: set.Path(3)}
	plan.known["04.png"] = known{source: set.Path(4)}
	if err := at(t, c).images(t.Context(), set, plan, func() {}); err != nil {
		t.Fatal(err)
	}
	if plan.done != [deeds]int{leave: 1, insert: 10, replace: 1} || len(plan.bad) != 2 || late != 2 {
		t.Errorf("done %v, bad %v, %d late", plan.done, plan.bad, late)
	}
	for _, b := range plan.bad {
		if want := map[string]string{"large.png": "its file of 5000 bytes exceeds the 4000 that the server accepts in a request", "noise.png": "it is noise"}[b.Key]; b.Reason != want {
			t.Errorf("bad: %+v, want %s", b, want)
		}
	}
	for _, items := range p.items {
		if len(items) > 5 {
			t.Errorf("%d items in a request", len(items))
		}
		for _, it := range items {
			data, err := os.ReadFile(filepath.Join(dir, it.ID))
			if err != nil || string(data) != string(it.Image) || it.Source == "" || it.Vector != nil {
				t.Errorf("sent %+v: %v", it, err)
			}
		}
	}
}

// A server accepts no thumbnails: an item that is to keep its thumbnail is sent as the image.
func TestRemoteKeepsThumbnails(t *testing.T) {
	dir := colours(t, 2)
	p, c, _ := play(t, func(w http.ResponseWriter, _ *http.Request, items []entry) { taken(w, items, nil) })
	var items []entry
	for _, name := range []string{"00.png", "01.png"} {
		path := filepath.Join(dir, name)
		items = append(items, entry{ID: name, Vector: []float32{1, 2, 3}, Source: path, Hash: fmt.Sprintf("%x", hashFile(t, path)), keep: true})
	}
	put(t, filepath.Join(dir, "01.png"), []byte("another file"))
	r := at(t, c)
	if bad, err := r.put(t.Context(), append(items, entry{ID: "bare", Vector: []float32{1, 2, 3}})); err != nil || !slices.Equal(bad, []string{"", "", ""}) {
		t.Fatalf("bad %q, %v", bad, err)
	}
	if r.bared.Load() != 1 {
		t.Errorf("%d lost their thumbnails", r.bared.Load())
	}
	for _, sent := range p.items {
		if it := sent[0]; len(sent) > 1 || (it.Image != nil) != (it.ID == "00.png") || (it.Vector == nil) != (it.ID == "00.png") {
			t.Errorf("sent %+v", sent)
		}
	}
	if len(p.items) != 3 {
		t.Errorf("%d requests", len(p.items))
	}
}

func hashFile(t *testing.T, path string) (h [32]byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(data)
}

// A refusal that is not due to an item ends everything.
func TestRemoteImagesEnd(t *testing.T) {
	set, err := dataset.Open(t.Context(), colours(t, 30), dataset.Options{Index: dataset.NoIndex})
	if err != nil {
		t.Fatal(err)
	}
	for status, answer := range map[int]func(w http.ResponseWriter, r *http.Request, items []entry){
		409: func(w http.ResponseWriter, _ *http.Request, _ []entry) { refuse(w, 409, "other model") },
		507: func(w http.ResponseWriter, _ *http.Request, items []entry) {
			fmt.Fprint(w, `{"data":[`+strings.TrimSuffix(strings.Repeat(`{"index":0,"error":{"status":507,"detail":"full"}},`, len(items)), ",")+`]}`)
		},
	} {
		_, c, _ := play(t, answer)
		var no *refusal
		if err := at(t, c).images(t.Context(), set, &plan{}, func() {}); !errors.As(err, &no) || no.status != status {
			t.Errorf("%d: got %v", status, err)
		}
	}
	for _, answer := range []string{`{"data":[]}`, `{}`} {
		_, c, _ := play(t, func(w http.ResponseWriter, _ *http.Request, _ []entry) { fmt.Fprint(w, answer) })
		if err := at(t, c).images(t.Context(), set, &plan{}, func() {}); err == nil || !strings.Contains(err.Error(), "the server answered for 0 of ") {
			t.Errorf("%s: got %v", answer, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, c, _ := play(t, func(http.ResponseWriter, *http.Request, []entry) {})
	r := at(t, c)
	cancel()
	if err := r.images(ctx, set, &plan{}, func() {}); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
}

func TestConnectRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`{"limits":{"body_bytes":1,"images":1},"index":null}`: "start it with --index FILE",
		`{"index":{"fingerprint":"x"}}`:                       "does not look like a vicreg server",
		`[]`:                                                  "cannot read the server's answer",
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }))
		c, err := newClient(s.URL, "", io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := connect(t.Context(), c, "n"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
		s.Close()
	}
}
