package server

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"sync/atomic"
	"vicreg/pipeline/usage"
)

// keys holds the API keys in use as SHA-256 hashes, which all have the same length. They may be
// replaced at any time.
type keys struct {
	sums atomic.Pointer[[][sha256.Size]byte]
}

func newKeys(list []string) *keys {
	k := &keys{}
	k.set(list)
	return k
}

// set replaces all keys.
func (k *keys) set(list []string) {
	sums := make([][sha256.Size]byte, len(list))
	for i, key := range list {
		sums[i] = sha256.Sum256([]byte(key))
	}
	k.sums.Store(&sums)
}

// wanted reports whether requests need a key.
func (k *keys) wanted() bool { return len(*k.sums.Load()) > 0 }

// has reports whether given is one of the keys. It compares with all of them, each in constant
// time.
func (k *keys) has(given string) bool {
	found, sum := 0, sha256.Sum256([]byte(given))
	for _, want := range *k.sums.Load() {
		found |= subtle.ConstantTimeCompare(sum[:], want[:])
	}
	return found == 1
}

// keyWatcher re-reads a server's API keys on a signal or when their file changes.
type keyWatcher struct {
	s    *Server
	file watched // its state when the keys in use were read
}

// run does for the keys what Watcher.Run does for the model.
func (w *keyWatcher) run(ctx context.Context, l looks) {
	l.run(ctx, func() {
		w.file.try()
		w.read("signal")
	}, w.look)
}

func (w *keyWatcher) look() {
	if w.file.changed() {
		w.read("the file changed")
	}
}

// read loads the keys from the file; if that fails, those in use stay.
func (w *keyWatcher) read(why string) {
	list, err := usage.Keys(w.file.path)
	if err != nil {
		w.s.log.Error("cannot load the new API keys; still using the old ones", "why", why, "error", err)
		w.s.metrics.keyReloads.WithLabelValues("failed").Inc()
		return
	}
	w.s.keys.set(list)
	w.s.log.Info("API keys reloaded", "why", why, "keys", len(list))
	w.s.metrics.keyReloads.WithLabelValues("ok").Inc()
}
