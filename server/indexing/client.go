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
	base  *url.URL
	key   string // "" if the server needs none
	pause func(ctx context.Context, d time.Duration) error
}

// patience is how long a request is retried while the server is overloaded.
const patience = 10 * time.Minute

// mostAnswer limits what is read of a response, in bytes.
const mostAnswer = 256 << 20

// newClient returns a client of the server at address, with the first key in keyFile unless that
// is "".
func newClient(address, keyFile string) (*client, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return nil, usage.Errorf("--server: %w", err)
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", u.RawQuery != "":
		return nil, usage.Errorf("--server %s: want http://HOST:PORT, or https", address)
	}
	c := &client{base: u, pause: pause}
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

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// refusal is an unsuccessful response.
type refusal struct {
	status int
	detail string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("the server refuses: %s (%d)", usage.Printable(r.detail), r.status)
}

// ask sends a request, with body as JSON unless it is nil, and decodes the response into what
// into points to, unless it is nil. If the server is overloaded, the request is retried after the
// time that the server names; if it refuses the request, the error is a *refusal. The elements of
// path must be escaped.
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
	var waited time.Duration
	for {
		answer, err := c.send(ctx, method, target, text)
		if err = c.explain(answer, err); err != nil {
			return fmt.Errorf("ask %s: %w", c.base.Redacted(), err)
		}
		if wait := answer.after(); wait > 0 && waited+wait <= patience {
			waited += wait
			if err := c.pause(ctx, wait); err != nil {
				return err
			}
			continue
		}
		err = answer.read(into)
		var no *refusal
		if errors.As(err, &no) && no.status == http.StatusUnauthorized {
			no.detail = "it wants an API key; --api-key-file FILE gives one"
			if c.key != "" {
				no.detail = "the API key that was given is not one of its keys"
			}
		}
		return err
	}
}

// explain adds a remedy to an error. A response that only says that the server expects TLS is an
// error.
func (c *client) explain(a *answer, err error) error {
	var unknown *tls.CertificateVerificationError
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("%w; SSL_CERT_FILE=FILE in the environment names the certificate of a private CA", err)
	case c.base.Scheme != "http":
		return err
	case err != nil && strings.Contains(err.Error(), `malformed HTTP response "\x15\x03`), // a TLS alert
		err == nil && a.status == http.StatusBadRequest && strings.Contains(string(a.body), "HTTPS"):
		secure := *c.base
		secure.Scheme = "https"
		return fmt.Errorf("the server speaks TLS: give --server %s", secure.Redacted())
	}
	return err
}

// answer is a server's response.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (c *client) send(ctx context.Context, method, target string, body []byte) (*answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.key != "" {
		r.Header.Set("Authorization", "Bearer "+c.key)
	}
	w, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer w.Body.Close()
	text, err := io.ReadAll(io.LimitReader(w.Body, mostAnswer))
	return &answer{w.StatusCode, w.Header, text}, err
}

// after returns how long to wait before the request is sent again; 0 if the response is final.
func (a *answer) after() time.Duration {
	if a.status != http.StatusTooManyRequests && a.status != http.StatusServiceUnavailable {
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
	return time.Second
}

// read decodes a successful response; any other is an error.
func (a *answer) read(into any) error {
	if a.status/100 == 2 {
		if into == nil {
			return nil
		}
		if err := json.Unmarshal(a.body, into); err != nil {
			return fmt.Errorf("the server's answer cannot be read: %w", err)
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
	return &refusal{a.status, detail}
}
