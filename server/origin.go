package server

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"vicreg/pipeline/usage"
	"vicreg/server/problem"
)

// Without API keys, the server would answer whatever a browser on this machine sends, even on
// behalf of foreign pages. Such a page can send requests whose answers it cannot read (cross-site
// request forgery), or point a name of its own at this server's address and read the answers too
// (DNS rebinding). A key, which browsers never send on their own, prevents both.

// crossOrigin detects requests that a browser sends for a page of another origin. It lets safe
// methods through: such a page cannot read the answers.
var crossOrigin http.CrossOriginProtection

// invited rejects requests that a foreign page may have sent to a server without keys.
func (s *Server) invited(r *http.Request) error {
	if name := hostOf(r.Host); name != "" && len(s.config.Names) > 0 && net.ParseIP(name) == nil && !slices.Contains(s.config.Names, name) {
		return problem.Errorf(problem.Forbidden,
			"the request is for the host %q: without API keys this server answers only to localhost, IP addresses, and the names given with --addr and --host", r.Host)
	}
	if crossOrigin.Check(r) == nil {
		return nil
	}
	origin := r.Header.Get("Origin")
	if from, err := url.Parse(origin); err == nil && slices.Contains(s.config.Hosts, hostOf(from.Host)) {
		return nil
	}
	return problem.Errorf(problem.Forbidden,
		"the request comes from a page of another site, %q: without API keys a server accepts requests only from its own pages and those of the hosts given with --host", origin)
}

// hostOf extracts the name from a Host header, or a string of that form, for comparison: lower
// case, without port, brackets and trailing dot.
func hostOf(address string) string {
	name, _, err := net.SplitHostPort(address)
	if err != nil { // no port
		name = strings.TrimSuffix(strings.TrimPrefix(address, "["), "]")
	}
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

// readHosts parses the names of --host.
func (f *serveFlags) readHosts() error {
	if f.host == "" {
		return nil
	}
	if f.keyFile != "" {
		return usage.Errorf("--host is for servers without API keys: with --api-key-file the server answers to every name")
	}
	for name := range strings.SplitSeq(f.host, ",") {
		name = strings.TrimSpace(name)
		if ip := net.ParseIP(strings.Trim(name, "[]")); name == "" || ip == nil && strings.ContainsAny(name, ":/ *") {
			return usage.Errorf("--host %s: want comma-separated host names, without https:// or a port", f.host)
		}
		f.Hosts = append(f.Hosts, hostOf("["+strings.Trim(name, "[]")+"]"))
	}
	return nil
}

// known returns the host names, besides IP addresses, that a server without keys answers to when it
// listens at the given address; nil means any. Names are restricted if it listens on loopback or
// --host is set.
func (f *serveFlags) known(at net.Addr) []string {
	tcp, ok := at.(*net.TCPAddr)
	local := ok && tcp.IP.IsLoopback()
	if len(f.Keys) > 0 || !local && len(f.Hosts) == 0 {
		return nil
	}
	return append([]string{"localhost", hostOf(f.addr)}, f.Hosts...)
}
