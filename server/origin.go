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

// Without API keys whatever a browser sends from this machine would be answered, also for
// pages of others: those may send requests whose answers they cannot read, and give a
// name of their own the address of this server, whose answers they then can. A key, which
// no browser sends unasked, keeps both out.

// crossOrigin knows what a page of another origin has a browser send. Reading is let
// through: such a page cannot see what comes back.
var crossOrigin http.CrossOriginProtection

// invited refuses what a page of others may have sent to a server that asks for no key.
func (s *Server) invited(r *http.Request) error {
	if name := hostOf(r.Host); name != "" && len(s.config.Names) > 0 && net.ParseIP(name) == nil && !slices.Contains(s.config.Names, name) {
		return problem.Errorf(problem.Forbidden,
			"the request is for the host %q: without API keys this server answers to localhost, to addresses, and to the names of --addr and --host alone", r.Host)
	}
	if crossOrigin.Check(r) == nil {
		return nil
	}
	origin := r.Header.Get("Origin")
	if from, err := url.Parse(origin); err == nil && slices.Contains(s.config.Hosts, hostOf(from.Host)) {
		return nil
	}
	return problem.Errorf(problem.Forbidden,
		"the request comes from a page of another site, %q: without API keys a server takes them from its own pages and those of the names of --host alone", origin)
}

// hostOf is the name in a Host header, or in what has its form, to be compared: without
// port, brackets, a dot at its end and large letters.
func hostOf(address string) string {
	name, _, err := net.SplitHostPort(address)
	if err != nil { // it has no port
		name = strings.TrimSuffix(strings.TrimPrefix(address, "["), "]")
	}
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

// readHosts takes the names of --host.
func (f *serveFlags) readHosts() error {
	if f.host == "" {
		return nil
	}
	if f.keyFile != "" {
		return usage.Errorf("--host is for a server without keys: with --api-key-file it answers to every name")
	}
	for name := range strings.SplitSeq(f.host, ",") {
		name = strings.TrimSpace(name)
		if ip := net.ParseIP(strings.Trim(name, "[]")); name == "" || ip == nil && strings.ContainsAny(name, ":/ *") {
			return usage.Errorf("--host %s: want names with commas between, without https:// and port", f.host)
		}
		f.Hosts = append(f.Hosts, hostOf("["+strings.Trim(name, "[]")+"]"))
	}
	return nil
}

// known are the names, beside addresses, that a server answers to which listens somewhere
// and asks for no key: any, unless only this machine reaches it or --host gives some.
func (f *serveFlags) known(at net.Addr) []string {
	tcp, ok := at.(*net.TCPAddr)
	local := ok && tcp.IP.IsLoopback()
	if len(f.Keys) > 0 || !local && len(f.Hosts) == 0 {
		return nil
	}
	return append([]string{"localhost", hostOf(f.addr)}, f.Hosts...)
}
