package engine

import (
	"crypto/sha256"
	"slices"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// cache remembers vectors by the content of their images, and lets a request wait for
// an image that another one has under way instead of computing it again. Its methods
// may be called at once; on a nil cache they find nothing.
type cache struct {
	mu     sync.Mutex
	room   int64 // bytes of vectors
	used   int64
	known  *simplelru.LRU[content, []float32]
	flying map[content]*flight
}

// content names an image for a model.
type content [sha256.Size]byte

// flight is an image that is being embedded.
type flight struct {
	landed chan struct{} // closed when what follows is set
	row    Outcome
	ok     bool // false: whoever waits has to do it himself
}

// overhead is what an entry takes beside its vector, in bytes.
const overhead = 200

// newCache returns nil for no room.
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
	h.Write([]byte(fingerprint)) // all have one length
	h.Write(file)
	h.Sum(c[:0])
	return c
}

// look finds the vector of an image, or the flight it is on. A new flight is the
// caller's to land; one who takes long does without, and gets none.
func (k *cache) look(c content, long bool) (v []float32, f *flight, mine bool) {
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

// land ends a flight with its Outcome, or with nothing when there is none that holds
// for others, too. It does so once.
func (k *cache) land(c content, f *flight, row Outcome, ok bool) {
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

// remember keeps the vector of an image that was on no flight.
func (k *cache) remember(c content, row Outcome) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keep(c, row)
}

// keep makes room for a vector that is not known yet, for whoever holds the lock.
func (k *cache) keep(c content, row Outcome) {
	if row.Err != nil || k.known.Contains(c) {
		return
	}
	k.known.Add(c, slices.Clone(row.Vector)) // else the vectors of its whole batch stay
	k.used += size(row.Vector)
	for k.used > k.room {
		k.known.RemoveOldest()
	}
}
