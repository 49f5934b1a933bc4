package server

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"vicreg/models/ort/orttest"
	"vicreg/server/servertest"
)

// A server whose output is not read still serves and exits.
func TestServeUnread(t *testing.T) {
	orttest.Open(t)
	file := filepath.Join(t.TempDir(), "backbone.onnx")
	if err := os.WriteFile(file, servertest.Model(t, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	out, still := make(chan string, 1), make(chan struct{})
	defer close(still)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Serve(ctx, []string{"--model", file, "--addr", "127.0.0.1:0", "--max-batch", "1", "--pause", "0s"}, unread{out, still}, unread{nil, still})
	}()
	var text string
	select {
	case text = <-out:
	case err := <-ended:
		t.Fatal(err)
	}
	_, address, _ := strings.Cut(strings.TrimSpace(text), " on ")
	for range 400 { // enough log lines to fill a pipe
		r, err := http.Get(address + "/livez")
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
	}
	if text := body(t, address+"/metrics"); !strings.Contains(text, "vicreg_log_lines_lost_total 0") {
		t.Errorf("the metrics do not tell of lost lines: %s", text)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// unread reports what it is given to write, and blocks as long as nobody reads.
type unread struct {
	told  chan<- string
	still <-chan struct{}
}

func (u unread) Write(b []byte) (int, error) {
	if u.told != nil {
		u.told <- string(b)
	}
	<-u.still
	return len(b), nil
}

func body(t *testing.T, address string) string {
	t.Helper()
	r, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Without keys, a server on localhost answers only to its own names.
func TestServeOnLocalhost(t *testing.T) {
	orttest.Open(t)
	file := filepath.Join(t.TempDir(), "backbone.onnx")
	if err := os.WriteFile(file, servertest.Model(t, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	out := make(chan string, 1)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Serve(ctx, []string{"--model", file, "--addr", "127.0.0.1:0", "--max-batch", "1", "--pause", "0s", "--host", "photos.example"}, passed(out), io.Discard)
	}()
	var text string
	select {
	case text = <-out:
	case err := <-ended:
		t.Fatal(err)
	}
	_, address, _ := strings.Cut(strings.TrimSpace(text), " on ")
	for host, want := range map[string]int{"": 200, "localhost": 200, "photos.example": 200, "evil.example": 403} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+"/info", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		w, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if w.Body.Close(); w.StatusCode != want {
			t.Errorf("host %q: %d, want %d", host, w.StatusCode, want)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// passed forwards what is written to a channel.
type passed chan<- string

func (o passed) Write(b []byte) (int, error) {
	o <- string(b)
	return len(b), nil
}

// Of several invalid flags, always the first is reported.
func TestValidateInOrder(t *testing.T) {
	for range 20 {
		f, fs := newServeFlags(io.Discard)
		if err := fs.Parse([]string{"--max-pixels", "0", "--queue", "0", "--decoders", "0", "--max-items", "0", "--deadline", "0s"}); err != nil {
			t.Fatal(err)
		}
		if err := f.validate(); err == nil || !strings.HasPrefix(err.Error(), "--decoders 0: ") {
			t.Fatalf("got %v", err)
		}
	}
}

// SIGHUP revokes a key that is no longer in the file, even if the server does not watch files.
func TestServeTakesKeysBack(t *testing.T) {
	orttest.Open(t)
	dir := t.TempDir()
	file, keys := filepath.Join(dir, "backbone.onnx"), filepath.Join(dir, "keys")
	if err := errors.Join(os.WriteFile(file, servertest.Model(t, 1), 0o600), os.WriteFile(keys, []byte("leaked\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	out, in := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Serve(ctx, []string{"--model", file, "--addr", "127.0.0.1:0", "--max-batch", "1", "--pause", "0s", "--watch", "0s", "--api-key-file", keys}, in, io.Discard)
		in.Close()
	}()
	text, _ := bufio.NewReader(out).ReadString('\n')
	_, address, _ := strings.Cut(strings.TrimSpace(text), " on ")
	status := func(key string) int {
		r, err := http.NewRequest("GET", address+"/info", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+key)
		w, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		w.Body.Close()
		return w.StatusCode
	}
	if got := status("leaked"); got != 200 {
		t.Fatalf("%d", got)
	}
	if err := errors.Join(os.WriteFile(keys, []byte("new\n"), 0o600), syscall.Kill(os.Getpid(), syscall.SIGHUP)); err != nil {
		t.Fatal(err)
	}
	for status("new") != 200 { // until the signal has arrived
		runtime.Gosched()
	}
	if got := status("leaked"); got != 401 {
		t.Errorf("a key that was taken back: %d", got)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
