package engine

import (
	"crypto/sha256"
	"slices"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// cache is an LRU of vectors keyed by image content. It also lets a request wait for an image that
// another request is already embedding instead of computing it again. Its methods are safe for
// concurrent use. A nil *cache means caching is off: it finds nothing and keeps nothing.
type cache struct {
	mu     sync.Mutex
	room   int64 // bytes of vectors
	used   int64
	known  *simplelru.LRU[content, []float32]
	flying map[content]*flight
}

// content is the cache key: an image under a particular model.
type content [sha256.Size]byte

// flight is an image that is being embedded.
type flight struct {
	landed chan struct{} // closed once the fields below are set
	row    Outcome
	ok     bool // false: waiters have to compute it themselves
}

// overhead is the size of an entry apart from its vector, in bytes.
const overhead = 200

// newCache returns nil if room is not positive.
func newCache(room int64) *cache {
	if room <= 0 {
		return nil
	}
	k := &cache{room: room, flying: map[content]*flight{}}
	k.known, _ = simplelru.NewLRU(int(room/overhead)+1, func(_ content, v []float32) { k.used -= size(v) })
	return k
}

func size(v []float32) int64 { return int64(4*len(v) + overhead) }

// contentOf hashes a file together with the fingerprint of the model.
func contentOf(fingerprint string, file []byte) (c content) {
	h := sha256.New()
	h.Write([]byte(fingerprint)) // fingerprints all have the same length
	h.Write(file)
	h.Sum(c[:0])
	return c
}

// look finds the vector of an image, or the flight that is computing it. If mine is true, the
// caller must compute the image and land the new flight; with long there is no flight, and f is
// nil.
func (k *cache) look(c content, long bool) (v []float32, f *flight, mine bool) {
	if k == nil {
		return nil, nil, true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if v, ok := k.known.Get(c); ok {
		return v, nil, false
	}
	if long {
		return nil, nil, true
	}
	if f := k.flying[c]; f != nil {
		return nil, f, false
	}
	f = &flight{landed: make(chan struct{})}
	k.flying[c] = f
	return nil, f, true
}

// land ends a flight with its outcome, or with ok unset if there is none that waiters can use. Only
// the first call has an effect.
func (k *cache) land(c content, f *flight, row Outcome, ok bool) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.flying[c] != f {
		return
	}
	delete(k.flying, c)
	f.row, f.ok = row, ok
	close(f.landed)
	if ok {
		k.keep(c, row)
	}
}

// remember caches the vector of an image that had no flight.
func (k *cache) remember(c content, row Outcome) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keep(c, row)
}

// keep inserts a vector that is not cached yet, evicting old ones; the caller holds the lock.
func (k *cache) keep(c content, row Outcome) {
	if row.Err != nil || k.known.Contains(c) {
		return
	}
	k.known.Add(c, slices.Clone(row.Vector)) // the original would keep its whole batch's vectors alive
	k.used += size(row.Vector)
	for k.used > k.room {
		k.known.RemoveOldest()
	}
}
