package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"vicreg/pipeline/usage"
)

// Health implements the command vicreg health, which checks whether a running server is well. It
// returns nil for status 200 and an error for any other answer or none. A container uses it as its
// probe, having no other HTTP client.
func Health(ctx context.Context, args []string, stdout, _ io.Writer) error {
	fs := usage.Flags(stdout, usage.Text{
		Name:     "health",
		Purpose:  "Check the health of a server: the exit code is 0 if URL answers with status 200, else 1.",
		Synopsis: "[URL] [flags]",
		Examples: []string{
			"vicreg health",
			"vicreg health --insecure https://localhost:8443/readyz",
		},
		Notes: `URL defaults to http://localhost:8080/livez, which tells whether the server works;
/readyz tells whether it accepts new requests. Redirects are not followed, and
proxy settings are ignored.`,
	})
	target := "http://localhost:8080/livez"
	timeout := fs.Duration("timeout", 3*time.Second, "maximum `time` to wait for the answer")
	insecure := fs.Bool("insecure", false, "accept any certificate of an https server, such as a self-signed one")
	if err := usage.Parse(fs, args, usage.Positional{Name: "[URL]", Value: &target}); err != nil {
		return err
	}
	u, err := url.Parse(target)
	switch {
	case err != nil:
		return usage.Errorf("URL: %w", err)
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return usage.Errorf("URL %q: want http://HOST:PORT/PATH, or https", target)
	case *insecure && u.Scheme != "https":
		return usage.Errorf("--insecure is only for https, but URL is %s", target)
	case *timeout <= 0:
		return usage.Errorf("--timeout %v: want a time above 0", *timeout)
	}
	status, err := askHealth(ctx, u, *timeout, *insecure)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("%s answers %d %s", u.Redacted(), status, http.StatusText(status))
	}
	_, err = fmt.Fprintf(stdout, "%s is healthy\n", u.Redacted())
	return err
}

// askHealth returns the status of the answer to a GET of u.
func askHealth(ctx context.Context, u *url.URL, timeout time.Duration, insecure bool) (int, error) {
	late := fmt.Errorf("%s has not answered within %v", u.Redacted(), timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, late)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return 0, usage.Errorf("URL: %w", err)
	}
	// A separate transport: no proxy, no connection reuse.
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: insecure}}
	response, err := transport.RoundTrip(request)
	switch {
	case errors.Is(context.Cause(ctx), late):
		return 0, late
	case err != nil:
		return 0, fmt.Errorf("%s does not answer: %w", u.Redacted(), err)
	}
	return response.StatusCode, response.Body.Close()
}
