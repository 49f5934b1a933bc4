package indexing

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"vicreg/pipeline/usage"
)

// client talks to a server that owns an index. It is safe for concurrent use.
type client struct {
	base    *url.URL
	key     string // "" if the server needs none
	http    *http.Client
	silence time.Duration // after which a request on which nothing moves is given up
	pause   func(ctx context.Context, d time.Duration) error
	outage  outage
}

// mostAnswer limits what is read of a response, in bytes.
const mostAnswer = 256 << 20

// newClient returns a client of the server at address, with the first key in keyFile unless that
// is "". It says on stderr when it waits for the server.
func newClient(address, keyFile string, stderr io.Writer) (*client, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return nil, usage.Errorf("--server: %w", err)
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", u.RawQuery != "":
		return nil, usage.Errorf("--server %s: want http://HOST:PORT, or https", address)
	}
	c := &client{base: u, http: &http.Client{Transport: transport()}, silence: leastSilence, pause: pause, outage: outage{stderr: stderr}}
	if keyFile == "" {
		return c, nil
	}
	keys, err := usage.Keys(keyFile)
	if err != nil {
		return nil, err
	}
	c.key = keys[0]
	return c, nil
}

// transport is Go's own without HTTP/2, which has nothing to offer for a few requests at a time,
// and whose errors do not tell a server that restarts from one that is at fault.
func transport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP1(true)
	return t
}

// refusal is an unsuccessful response.
type refusal struct {
	status int
	detail string
	again  bool // the request was sent before, and the answer to that was lost
}

func (r *refusal) Error() string {
	return fmt.Sprintf("the server refused the request: %s (%d)", usage.Printable(r.detail), r.status)
}

// ask sends a request, with body as JSON unless it is nil, and decodes the response into what
// into points to, unless it is nil. It persists while the server is overloaded or away; if the
// server refuses the request, the error is a *refusal. The elements of path must be escaped.
func (c *client) ask(ctx context.Context, method, path string, query url.Values, body, into any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	target := strings.TrimSuffix(c.base.String(), "/") + "/" + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	answer, tried, err := c.persist(ctx, method, target, text)
	if err != nil {
		return fmt.Errorf("cannot reach %s: %w", c.base.Redacted(), err)
	}
	err = answer.read(into)
	var no *refusal
	if errors.As(err, &no) {
		no.again = tried.lost
	}
	switch {
	case no != nil && no.status == http.StatusUnauthorized:
		no.detail = "it requires an API key; give one with --api-key-file FILE"
		if c.key != "" {
			no.detail = "the given API key is not one of its keys"
		}
	case no != nil && answer.after() > 0 && tried.waited > 0:
		return fmt.Errorf("%w; %s", err, tried)
	}
	return err
}

// explain adds a remedy to an error. A response that only says that the server expects TLS is an
// error.
func (c *client) explain(a *answer, err error) error {
	var unknown *tls.CertificateVerificationError
	var request *url.Error
	if errors.As(err, &request) { // its text repeats the address
		err = request.Err
	}
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("%w; for a private CA set SSL_CERT_FILE to its certificate", err)
	case c.base.Scheme != "http":
		return err
	case err != nil && strings.Contains(err.Error(), `malformed HTTP response "\x15\x03`), // a TLS alert
		err == nil && a.status == http.StatusBadRequest && strings.Contains(string(a.body), "HTTPS"):
		secure := *c.base
		secure.Scheme = "https"
		return fmt.Errorf("the server uses TLS: give --server %s", secure.Redacted())
	}
	return err
}

// answer is a server's response.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// send sends a request once. It may take long, as large batches do on slow lines, but not stand
// still.
func (c *client) send(ctx context.Context, method, target string, body []byte) (*answer, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(c.silence, func() { cancel(errSilent) })
	defer timer.Stop()
	moving := func(r io.Reader) io.ReadCloser { return io.NopCloser(moved{r, func() { timer.Reset(c.silence) }}) }
	r, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
		r.GetBody = func() (io.ReadCloser, error) { return moving(bytes.NewReader(body)), nil }
		r.Body, _ = r.GetBody()
	}
	if c.key != "" {
		r.Header.Set("Authorization", "Bearer "+c.key)
	}
	a, err := c.receive(r, moving)
	if err != nil && context.Cause(ctx) == errSilent {
		return nil, fmt.Errorf("%w for %v", errSilent, c.silence)
	}
	return a, err
}

// receive sends a request and reads the whole response, through moving.
func (c *client) receive(r *http.Request, moving func(io.Reader) io.ReadCloser) (*answer, error) {
	w, err := c.http.Do(r)
	var about *url.Error
	if errors.As(err, &about) {
		return nil, about.Err // without the URL: ask names the server
	}
	if err != nil {
		return nil, err
	}
	defer w.Body.Close()
	text, err := io.ReadAll(moving(io.LimitReader(w.Body, mostAnswer)))
	return &answer{w.StatusCode, w.Header, text}, err
}

// after returns how long to wait before the request is sent again; 0 if the response is final. 502
// comes from proxies, while the server behind them restarts.
func (a *answer) after() time.Duration {
	if a.status != http.StatusTooManyRequests && a.status != http.StatusServiceUnavailable && a.status != http.StatusBadGateway {
		return 0
	}
	if ms, err := strconv.ParseInt(a.header.Get("Retry-After-Ms"), 10, 32); err == nil && ms > 0 {
		return time.Duration(ms) * time.Millisecond
	}
	if s, err := strconv.ParseInt(a.header.Get("Retry-After"), 10, 32); err == nil && s > 0 {
		return time.Duration(s) * time.Second
	}
	if at, err := http.ParseTime(a.header.Get("Retry-After")); err == nil {
		return max(time.Until(at), time.Second)
	}
	return pauseBetween
}

// read decodes a successful response; any other is an error.
func (a *answer) read(into any) error {
	if a.status/100 == 2 {
		if into == nil {
			return nil
		}
		if err := json.Unmarshal(a.body, into); err != nil {
			return fmt.Errorf("cannot read the server's answer: %w", err)
		}
		return nil
	}
	var p struct{ Title, Detail string }
	detail := http.StatusText(a.status)
	if json.Unmarshal(a.body, &p) == nil && p.Title+p.Detail != "" {
		if detail = p.Detail; detail == "" {
			detail = p.Title
		}
	}
	return &refusal{status: a.status, detail: detail}
}
