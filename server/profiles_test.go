package server

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"vicreg/server/servertest"
)

// Profiles are served on a separate address, even while a model is in service, but only to this
// machine and not under any other host name.
func TestProfiles(t *testing.T) {
	s := prepare(t, func() ([]byte, error) { return servertest.Model(t, 1), nil }, nil)
	l := Listeners{}
	for _, to := range []*net.Listener{&l.API, &l.Profiles} {
		var err error
		if *to, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- s.Run(ctx, l, func() { close(ready) }) }()
	<-ready
	of := func(l net.Listener, path string) string { return "http://" + l.Addr().String() + path }
	if text := body(t, of(l.Profiles, "/debug/pprof/goroutine?debug=1")); !strings.Contains(text, "goroutine profile: total") {
		t.Errorf("%s", text)
	}
	if r, err := http.Get(of(l.API, "/debug/pprof/")); err != nil || r.StatusCode != http.StatusNotFound {
		t.Errorf("on the address of the API: %v %v", r, err)
	}
	for host, want := range map[string]int{"localhost:6060": 200, "127.0.0.1": 200, "[::1]:6060": 200, "evil.example:6060": 403, "192.0.2.1": 403, "": 403} {
		r := httptest.NewRequest("GET", "/debug/pprof/cmdline", nil)
		r.Host = host
		w := httptest.NewRecorder()
		if profiles().ServeHTTP(w, r); w.Code != want {
			t.Errorf("%q: %d, want %d", host, w.Code, want)
		}
	}
	asked, err := http.Get(of(l.Profiles, "/debug/pprof/trace?seconds=3600")) // must not delay the shutdown
	if err != nil {
		t.Fatal(err)
	}
	defer asked.Body.Close()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	io.Copy(io.Discard, asked.Body)
}

// An address for profiles that other machines can reach is rejected.
func TestProfilesForOthers(t *testing.T) {
	for _, addr := range []string{":0", "0.0.0.0:0", "[::]:0"} {
		f, _ := newServeFlags(io.Discard)
		f.addr, f.metricsAddr, f.pprofAddr = "127.0.0.1:0", "127.0.0.1:0", addr
		if l, err := f.listen(slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "other machines can reach it") {
			t.Errorf("%s: %v", addr, err)
		} else if _, err := l.API.Accept(); err == nil {
			t.Errorf("%s: the API's address is still taken", addr)
		}
	}
}
