package server

import (
	"net"
	"net/http"
	"net/http/pprof"
)

// profiles are the routes of net/http/pprof. They tell of the inside of the program, and
// make it slower while they are asked: they are for an address that this machine alone
// reaches. Names that a browser was tricked into taking for that address are refused.
func profiles() http.Handler {
	mux := http.NewServeMux()
	for path, h := range map[string]http.HandlerFunc{"": pprof.Index, "cmdline": pprof.Cmdline, "profile": pprof.Profile, "symbol": pprof.Symbol, "trace": pprof.Trace} {
		mux.HandleFunc("/debug/pprof/"+path, h)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			http.Error(w, "profiles are for localhost alone", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// loopback tells whether this machine alone reaches an address.
func loopback(a net.Addr) bool {
	tcp, is := a.(*net.TCPAddr)
	return is && tcp.IP.IsLoopback()
}
