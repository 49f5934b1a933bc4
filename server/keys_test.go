package server

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"vicreg/pipeline/usage"
)

// keyed is a server with its keys in a file, with functions to write the file and to check whether
// a key is accepted.
func keyed(t *testing.T) (w *keyWatcher, log *bytes.Buffer, write func(text string), takes func(key string) bool) {
	t.Helper()
	log = &bytes.Buffer{}
	clock := time.Now()
	path := filepath.Join(t.TempDir(), "keys")
	write = func(text string) {
		t.Helper()
		clock = clock.Add(time.Second) // successive writes could have the same modification time
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chtimes(path, clock, clock)); err != nil {
			t.Fatal(err)
		}
	}
	write("leaked\nother\n")
	file := watch(path)
	list, err := usage.Keys(path)
	if err != nil {
		t.Fatal(err)
	}
	s := prepareLogging(t, func() ([]byte, error) { return nil, errors.New("not asked for") }, func(c *Config) { c.Keys = list }, slog.New(slog.NewTextHandler(log, nil)))
	takes = func(key string) bool {
		return ask(s, "GET", "/items", nil, "Authorization", "Bearer "+key).Code != 401
	}
	return &keyWatcher{s, file}, log, write, takes
}

// A key removed from the file is refused once the file is unchanged between two checks; a new one
// is accepted.
func TestKeysAreReadAgain(t *testing.T) {
	w, _, write, takes := keyed(t)
	if !takes("leaked") || !takes("other") || takes("new") {
		t.Fatal("the keys at the start")
	}
	write("other\nnew\n")
	if w.look(); !takes("leaked") {
		t.Error("the file is taken while somebody may be writing it")
	}
	if w.look(); takes("leaked") || !takes("other") || !takes("new") {
		t.Error("the keys after the file has changed")
	}
	tells(t, w.s, `vicreg_api_key_reloads_total{result="ok"} 1`)
	if w.look(); strings.Contains(ask(w.s, "GET", "/metrics", nil).Body.String(), `{result="ok"} 2`) {
		t.Error("a file that has not changed is read")
	}
}

// An empty or missing file neither admits everyone nor locks everyone out.
func TestKeysStayWithoutAFile(t *testing.T) {
	w, log, write, takes := keyed(t)
	stays := func(how string) {
		t.Helper()
		if !takes("leaked") || !takes("other") || takes("new") || takes("") {
			t.Errorf("%s: other keys are in use", how)
		}
		if got := strings.Count(log.String(), "cannot load the new API keys"); got != 1 {
			t.Errorf("%s: said %d times: %s", how, got, log)
		}
		log.Reset()
	}
	for _, text := range []string{"", "# leaked\n\n", "new key\n"} {
		write(text)
		for range 4 {
			w.look()
		}
		stays(text)
	}
	if err := os.Remove(w.file.path); err != nil {
		t.Fatal(err)
	}
	w.look()
	w.read("signal")
	stays("gone")
	write("new\n")
	w.look()
	if w.look(); !takes("new") || takes("leaked") {
		t.Error("a good file after bad ones is not taken")
	}
}

// A signal re-reads the keys at once, whatever --watch is.
func TestKeysAreReadOnASignal(t *testing.T) {
	w, _, write, takes := keyed(t)
	ctx, cancel := context.WithCancel(t.Context())
	now := make(chan os.Signal)
	var reads sync.WaitGroup
	reads.Go(func() { w.run(ctx, looks{now, 0}) })
	write("new\n")
	now <- syscall.SIGHUP
	now <- syscall.SIGHUP // received only after the previous one has been handled
	if takes("leaked") || !takes("new") {
		t.Error("the keys after a signal")
	}
	cancel()
	reads.Wait()
}
