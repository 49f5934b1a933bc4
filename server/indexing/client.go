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

// client speaks with a server that owns an index. All methods may be called at once.
type client struct {
	base  *url.URL
	key   string // "" when the server asks for none
	pause func(ctx context.Context, d time.Duration) error
}

// patience is how long a request is sent again while the server has no room for it.
const patience = 10 * time.Minute

// mostAnswer bounds what is read of an answer, in bytes.
const mostAnswer = 256 << 20

// newClient is a client of the server at address, with the first key in keyFile if
// that is not "".
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

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// refusal is an answer that is no success.
type refusal struct {
	status int
	detail string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("the server refuses: %s (%d)", usage.Printable(r.detail), r.status)
}

// ask sends a request, body as JSON if it is not nil, and decodes the answer into
// what into points to, if it is not nil. One that the server has no room for is sent
// again when the server says; one that it refuses is a *refusal. path has its elements
// escaped.
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

// explain adds to an error what can be done about it. An answer that only says that the
// server wants to be asked with TLS is an error.
func (c *client) explain(a *answer, err error) error {
	var unknown *tls.CertificateVerificationError
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("%w; SSL_CERT_FILE=FILE in the environment names the certificate of a private CA", err)
	case c.base.Scheme != "http":
		return err
	case err != nil && strings.Contains(err.Error(), `malformed HTTP response "\x15\x03`), // an alert of TLS
		err == nil && a.status == http.StatusBadRequest && strings.Contains(string(a.body), "HTTPS"):
		secure := *c.base
		secure.Scheme = "https"
		return fmt.Errorf("the server speaks TLS: give --server %s", secure.Redacted())
	}
	return err
}

// answer is what a server answered.
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

// after is how long to wait before the request is sent again; 0 when the answer is
// final.
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

// read decodes a success; all else is an error.
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
