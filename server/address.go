package server

import (
	"cmp"
	"net"
	"strings"

	"vicreg/pipeline/usage"
)

// checkAddresses returns an error for the first address that is not HOST:PORT.
func (f *serveFlags) checkAddresses() error {
	for _, a := range []struct{ flag, address, port string }{
		{"addr", f.addr, "8080"}, {"metrics-addr", f.metricsAddr, "9090"}, {"pprof-addr", f.pprofAddr, "6060"},
	} {
		if _, _, err := net.SplitHostPort(a.address); err == nil || a.address == "" && a.flag != "addr" {
			continue
		}
		likely := "localhost:" + a.port
		if a.address != "" && strings.Trim(a.address, "0123456789") == "" { // a port alone
			likely = "localhost:" + a.address
			if a.flag != "pprof-addr" { // which is for this machine alone
				likely += ", or :" + a.address + " for all interfaces"
			}
		}
		return usage.Errorf("--%s %s: want HOST:PORT, such as %s", a.flag, cmp.Or(a.address, `""`), likely)
	}
	return nil
}
