package server

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync"
)

// certificate is a TLS certificate whose files are re-read when they change, as on renewal. It is
// safe for concurrent use.
type certificate struct {
	cert, key string // paths
	log       *slog.Logger

	mu    sync.Mutex
	pair  *tls.Certificate
	files [2]fileState
}

// newCertificate reads the files for the first time.
func newCertificate(cert, key string, log *slog.Logger) (*certificate, error) {
	c := &certificate{cert: cert, key: key, log: log}
	return c, c.read()
}

func (c *certificate) read() error {
	c.files = [2]fileState{stateOf(c.cert), stateOf(c.key)}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("read the TLS certificate: %w", err)
	}
	c.pair = &pair
	return nil
}

// get is for tls.Config.GetCertificate. If the new files do not match, the old certificate stays in
// use: one of them may not have been written yet.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !stateOf(c.cert).same(c.files[0]) || !stateOf(c.key).same(c.files[1]) {
		if err := c.read(); err != nil {
			c.log.Error("cannot load the new TLS certificate; still using the old one", "error", err)
		}
	}
	return c.pair, nil
}
