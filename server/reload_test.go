package server

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"vicreg/models/onnx"
	"vicreg/pipeline/encoder"
	"vicreg/server/servertest"
)

// Under load, while models are replaced, every answer comes entirely from one model and says which.
func TestReloadUnderLoad(t *testing.T) {
	files := [][]byte{servertest.Model(t, 1), servertest.Model(t, 2)}
	var turn atomic.Int64
	s := prepare(t, func() ([]byte, error) { return files[turn.Load()%2], nil }, func(c *Config) { c.Cache = 1 << 20 })
	images := [][]byte{servertest.Photo(t, 0), servertest.Photo(t, 1), servertest.Photo(t, 2), servertest.Photo(t, 3)}
	golden := map[string][][]float32{}
	for range files {
		if err := s.Load(); err != nil {
			t.Fatal(err)
		}
		e := s.current()
		for _, image := range images {
			v := direct(t, s, image)
			golden[e.Fingerprint()] = append(golden[e.Fingerprint()], v)
		}
		turn.Add(1)
	}
	if len(golden) != 2 {
		t.Fatal("both models have one fingerprint")
	}
	stop := make(chan struct{})
	var clients sync.WaitGroup
	var answers atomic.Int64
	for i := range 4 {
		clients.Go(func() {
			for k := i; ; k++ {
				select {
				case <-stop:
					return
				default:
				}
				n := k % len(images)
				w := ask(s, "POST", "/embed", images[n], "Content-Type", "image/png", "Accept", "application/octet-stream")
				want := golden[w.Header().Get("X-Model-Fingerprint")]
				if w.Code != 200 || want == nil || !close32(floats(w.Body.Bytes()), want[n], 1e-5) {
					t.Errorf("status %d, fingerprint %q, or another model's vector", w.Code, w.Header().Get("X-Model-Fingerprint"))
					return
				}
				answers.Add(1)
			}
		})
	}
	for range 4 {
		seen := answers.Load()
		for answers.Load() < seen+8 && !t.Failed() {
			time.Sleep(time.Millisecond)
		}
		if err := s.Load(); err != nil {
			t.Error(err)
		}
		turn.Add(1)
	}
	close(stop)
	clients.Wait()
	s.old.Wait() // every replaced model has been closed
}

// A changed file is loaded once it is complete; a broken one leaves the model as it is.
func TestReloadOnChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "backbone.onnx")
	write := func(file []byte) {
		t.Helper()
		if err := os.WriteFile(path+".new", file, 0o666); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	write(servertest.Model(t, 1))
	s := prepare(t, func() ([]byte, error) { return os.ReadFile(path) }, nil)
	w := s.Watch(path)
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	first := s.current().Fingerprint()
	ctx, cancel := context.WithCancel(t.Context())
	now := make(chan os.Signal)
	var reloads sync.WaitGroup
	reloads.Go(func() { w.Run(ctx, now, time.Millisecond) })
	until := func(what string, done func() bool) {
		t.Helper()
		for !done() && !t.Failed() {
			select {
			case <-t.Context().Done():
				t.Errorf("never: %s", what)
			case <-time.After(time.Millisecond):
			}
		}
	}
	metric := func(line string) func() bool {
		return func() bool { return strings.Contains(ask(s, "GET", "/metrics", nil).Body.String(), line) }
	}
	write([]byte("no model"))
	until("a broken file is refused", metric(`vicreg_reloads_total{result="failed"} 1`))
	if got := s.current().Fingerprint(); got != first {
		t.Errorf("a broken file changed the model to %s", got)
	}
	write(servertest.Model(t, 2))
	until("a changed file is loaded", metric(`vicreg_reloads_total{result="ok"} 1`))
	second := s.current().Fingerprint()
	if second == first {
		t.Error("the model is the old one")
	}
	now <- syscall.SIGHUP
	until("a signal loads the file again", metric(`vicreg_reloads_total{result="ok"} 2`))
	cancel()
	reloads.Wait()
}

// The server answers before its model is loaded, as far as it can.
func TestServesWhileLoading(t *testing.T) {
	release := make(chan error)
	s := prepare(t, func() ([]byte, error) { return servertest.Model(t, 1), <-release }, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- s.Run(ctx, Listeners{API: l}, func() { close(ready) }) }()
	status := func(path string) int {
		r, err := http.Get("http://" + l.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		return r.StatusCode
	}
	for path, want := range map[string]int{"/livez": 200, "/readyz": 503, "/info": 503, "/metrics": 200} {
		if got := status(path); got != want {
			t.Errorf("%s while the model is loaded: %d, want %d", path, got, want)
		}
	}
	if w := ask(s, "POST", "/embed", servertest.Photo(t, 0), "Content-Type", "image/png"); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("/embed while the model is loaded: %d", w.Code)
	}
	release <- nil
	<-ready
	if got := status("/readyz"); got != 200 {
		t.Errorf("/readyz: %d", got)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// If the model cannot be loaded at startup, the server exits.
func TestRunWithoutAModel(t *testing.T) {
	s := prepare(t, func() ([]byte, error) { return nil, errors.New("no model") }, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), Listeners{API: l}, func() { t.Error("ready") }); err == nil || !strings.Contains(err.Error(), "no model") {
		t.Errorf("got %v", err)
	}
}

// A file that is being written in place is not loaded before it is complete, even if it is a valid
// model at every moment; each broken state is reported once.
func TestReloadOfAFileThatIsBeingWritten(t *testing.T) {
	first, second := sealed(t, 1), sealed(t, 2)
	if len(first) != len(second) {
		t.Fatal("the models differ in size")
	}
	path := filepath.Join(t.TempDir(), "backbone.onnx")
	clock := time.Now()
	write := func(file []byte) {
		t.Helper()
		clock = clock.Add(time.Second) // successive writes could have the same modification time
		if err := errors.Join(os.WriteFile(path, file, 0o666), os.Chtimes(path, clock, clock)); err != nil {
			t.Fatal(err)
		}
	}
	write(first)
	s := prepare(t, func() ([]byte, error) { return os.ReadFile(path) }, nil)
	var log bytes.Buffer
	s.log = slog.New(slog.NewJSONHandler(&log, nil))
	w := s.Watch(path)
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	old := s.current()
	looks := func() (refused int) {
		log.Reset()
		for range 5 {
			w.look()
		}
		return strings.Count(log.String(), "the file is damaged or truncated")
	}
	for _, n := range []int{100, len(first) / 3, 2 * len(first) / 3} {
		write(append(bytes.Clone(second[:n]), first[n:]...))
		if got := looks(); got != 1 || s.current() != old {
			t.Errorf("%d bytes written: refused %d times, the model in service stays: %v", n, got, s.current() == old)
		}
		if w := ask(s, "POST", "/embed", servertest.Photo(t, 0), "Content-Type", "image/png"); w.Code != 200 || w.Header().Get("X-Model-Fingerprint") != old.Fingerprint() {
			t.Errorf("status %d of model %q", w.Code, w.Header().Get("X-Model-Fingerprint"))
		}
	}
	write(second)
	if got := looks(); got != 0 || s.current() == old || s.current().Fingerprint() == old.Fingerprint() {
		t.Errorf("the whole file: refused %d times, fingerprint %s", got, s.current().Fingerprint())
	}
}

// sealed is a model file as vicreg export writes it.
func sealed(t *testing.T, seed uint64) []byte {
	t.Helper()
	m, err := onnx.Unmarshal(servertest.Model(t, seed))
	if err != nil {
		t.Fatal(err)
	}
	file, err := encoder.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return file
}
