package index

import "sync/atomic"

// tally counts what the namespaces of a file hold together. They update it as they change, so
// that reading it takes no longer when there are many.
type tally struct{ namespaces, items, bytes atomic.Int64 }

// share is what one namespace contributes to a tally.
type share struct {
	items int
	bytes int64
}

// change replaces a namespace's share.
func (t *tally) change(old, now share) {
	t.namespaces.Add(now.namespaces() - old.namespaces())
	t.items.Add(int64(now.items - old.items))
	t.bytes.Add(now.bytes - old.bytes)
}

// namespaces is 1 for a namespace that has items.
func (s share) namespaces() int64 { return int64(min(1, s.items)) }

// count brings the tally up to date with what readers see. c.mu must be held.
func (c *collection) count() {
	if c.total == nil {
		return
	}
	now := share{c.shown.items, c.shown.bytes()}
	c.total.change(c.share, now)
	c.share = now
}

// recount is count for callers that do not hold c.mu, after sketches have changed.
func (c *collection) recount() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count()
}

// leaves removes the collection from the tally, for good.
func (c *collection) leaves() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total.change(c.share, share{})
	c.total, c.share = nil, share{}
}

// perPlace is roughly what an id takes in the map of places, without its text.
const perPlace = 40

// bytes returns the memory that grows with the items and their metadata.
func (s *snapshot) bytes() int64 {
	n := s.vocabulary + perPlace*int64(s.items)
	for _, p := range s.parts {
		n += p.bytes
		if p.segment == nil {
			continue
		}
		if k := p.sketches.Load(); k != nil {
			n += k.Bytes()
		}
	}
	return n
}

// measure updates p.bytes, the memory of a part without sketches.
func (p *part) measure(dim int) {
	p.bytes = 0
	if p.segment != nil {
		p.bytes = int64(len(p.keys))*(5*int64(dim)+4+4+8+16) + p.idBytes + int64(8*len(p.live)) + p.page.Size()
	}
}
