package server

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"vicreg/pipeline/usage"
)

// health runs the command and returns what it prints.
func health(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out strings.Builder
	err := Health(t.Context(), args, &out, io.Discard)
	return out.String(), err
}

// fails checks that err is a failure with this text, and not a usage error.
func fails(t *testing.T, err error, want string) {
	t.Helper()
	var wrong *usage.Error
	if err == nil || errors.As(err, &wrong) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, want %s", err, want)
	}
}

// The command agrees with the server that it is made for.
func TestHealthOfAServer(t *testing.T) {
	s := start(t, nil)
	web := httptest.NewServer(s.Handler())
	defer web.Close()
	for _, path := range []string{"/livez", "/readyz"} {
		if out, err := health(t, web.URL+path); err != nil || out != web.URL+path+" is healthy\n" {
			t.Errorf("%s: %q, %v", path, out, err)
		}
	}
	defer s.play(played{age: 2 * canaryStale})()
	out, err := health(t, web.URL+"/livez")
	if fails(t, err, "/livez answers 503 Service Unavailable"); out != "" {
		t.Errorf("printed %q", out)
	}
	s.stopping.Store(true)
	_, err = health(t, web.URL+"/readyz")
	fails(t, err, "/readyz answers 503 Service Unavailable")
	_, err = health(t, web.URL+"/nowhere")
	fails(t, err, "/nowhere answers 404 Not Found")
}

// Only 200 counts as well: neither a redirect to a page that returns it nor another 2xx does.
func TestHealthWants200(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/", http.StatusFound)
		case "/empty":
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	defer web.Close()
	if _, err := health(t, web.URL); err != nil {
		t.Error(err)
	}
	_, err := health(t, web.URL+"/moved")
	fails(t, err, "answers 302 Found")
	_, err = health(t, web.URL+"/empty")
	fails(t, err, "answers 204 No Content")
}

func TestHealthWithoutAServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	_, err = health(t, "http://"+l.Addr().String()+"/livez")
	fails(t, err, "http://"+l.Addr().String()+"/livez does not answer: ")
}

// The server accepts the connection but does not answer.
func TestHealthTimeout(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = health(t, "--timeout", "20ms", "http://"+l.Addr().String())
	fails(t, err, "has not answered within 20ms")
}

func TestHealthInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Health(ctx, nil, io.Discard, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestHealthOverTLS(t *testing.T) {
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	web.Config.ErrorLog = log.New(io.Discard, "", 0) // it logs the rejected certificate
	web.StartTLS()
	defer web.Close()
	if _, err := health(t, "--insecure", web.URL); err != nil {
		t.Error(err)
	}
	_, err := health(t, web.URL)
	fails(t, err, "does not answer: tls: failed to verify certificate")
}

func TestHealthUsage(t *testing.T) {
	for args, want := range map[string]string{
		"localhost:8080":                     `URL "localhost:8080": want http://HOST:PORT/PATH`,
		"/livez":                             "want http://HOST:PORT/PATH",
		"ftp://localhost/livez":              "want http://HOST:PORT/PATH",
		"http:///livez":                      "want http://HOST:PORT/PATH",
		"http://localhost:port/":             `invalid port ":port"`,
		"http://a http://b":                  `unexpected argument "http://b"`,
		"--insecure":                         "--insecure is only for https",
		"--timeout 0s":                       "--timeout 0s: want a time above 0",
		"--timeout soon http://localhost:80": "--timeout",
	} {
		var wrong *usage.Error
		if _, err := health(t, strings.Fields(args)...); !errors.As(err, &wrong) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", args, err, want)
		}
	}
}
