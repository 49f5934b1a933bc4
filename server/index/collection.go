package index

import (
	"maps"
	"slices"
	"sync"

	"vicreg/server/index/filter"
)

// collection is a namespace in memory. One goroutine at a time writes; what it has
// published never changes, so that searches go on meanwhile without a lock.
type collection struct {
	dim    int
	fields *filter.Dictionary // the writer's
	parts  []part             // the writer's; those before it in shown are not changed
	filled bool               // a part has been left full that nobody was told of
	learnt learnt             // the sketcher's
	fill   int                // index of the part that is being filled, -1 for none
	owned  map[int]bool       // parts whose live is no reader's yet
	moved  int                // rows that came or went since the pairs were drawn
	coded  int                // rows that fields has coded

	mu     sync.RWMutex
	shown  *snapshot        // what readers see
	places map[string]place // of ids, as in shown
}

// snapshot is a namespace at one moment. It never changes.
type snapshot struct {
	dim   int
	parts []part
	view  filter.View
	items int
	pairs *pairs
}

// place is a part and a row in it.
type place uint32

func at(part, row int) place { return place(part*segmentRows + row) }
func (p place) part() int    { return int(p / segmentRows) }
func (p place) row() int     { return int(p % segmentRows) }
func newCollection(dim int) *collection {
	c := &collection{dim: dim, fields: filter.NewDictionary(), fill: -1, owned: map[int]bool{}, places: map[string]place{}}
	c.publish()
	return c
}

// change is one step of the writer: an item that is in the store now, or without row
// one that is gone from it.
type change struct {
	id   string
	key  int64
	row  *row
	meta filter.Row
}

// apply makes changes and shows them, all at once. It tells which ids were there before.
func (c *collection) apply(changes []change) (were []bool) {
	were = make([]bool, len(changes))
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, ch := range changes {
		old, is := c.places[ch.id]
		if were[i] = is; is {
			c.remove(old)
			delete(c.places, ch.id)
		}
		if ch.row != nil {
			c.places[ch.id] = c.add(ch.key, ch.id, *ch.row, ch.meta)
		}
	}
	c.moved += len(changes)
	c.publish()
	return were
}

// draw has random pairs drawn anew when the items are no longer those of the last ones.
// It is the writer's, and keeps no reader.
func (c *collection) draw() {
	now := c.snapshot()
	if float64(c.moved) < stale*float64(now.items) {
		return
	}
	next := *now
	next.pairs, c.moved = now.draw(), 0
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shown = &next
}

// stale is how many changes, as a share of the items, make new random pairs worth it.
const stale = 0.2

// mostCoded rows, and four times as many as there are, may have been coded before their
// columns are made anew.
const mostCoded = 10_000

// forget drops what is in no metadata any more when that may be much. It is the writer's.
func (c *collection) forget() {
	if c.coded > mostCoded+4*len(c.places) {
		c.renew()
	}
}

// renew moves the columns to a dictionary of what is in them. Readers keep the old ones
// with the old dictionary until it is done.
func (c *collection) renew() {
	move := c.fields.Renew()
	for j := range c.parts {
		p := &c.parts[j]
		var page filter.Page
		for i := range p.n {
			if p.lives(i) {
				page = page.With(i, move.Row(p.page.Row(i)))
			}
		}
		p.page = page
	}
	c.fields, c.coded = move.To, len(c.places)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.publish()
}

// finish ends a load: what was added is shown.
func (c *collection) finish() {
	c.mu.Lock()
	c.moved = len(c.places)
	c.publish()
	c.mu.Unlock()
	c.draw()
}

// add puts a row into the part that is being filled.
func (c *collection) add(key int64, id string, r row, meta filter.Row) place {
	if c.fill < 0 || c.parts[c.fill].n == segmentRows {
		c.begin()
	}
	p := &c.parts[c.fill]
	if p.n == len(p.keys) {
		p.segment = p.segment.grown(c.dim)
	}
	if !c.owned[c.fill] { // readers have these words
		p.live, c.owned[c.fill] = slices.Clone(p.live), true
	}
	if p.n%64 == 0 {
		p.live = append(p.live, 0)
	}
	p.set(p.n, key, id, r)
	p.page = p.page.With(p.n, meta)
	p.live[p.n/64] |= 1 << (p.n % 64)
	p.n++
	return at(c.fill, p.n-1)
}

// begin takes an empty part to be filled, one that has been left or a new one.
func (c *collection) begin() {
	c.filled = c.filled || c.fill >= 0
	c.fill = slices.IndexFunc(c.parts, func(p part) bool { return p.segment == nil })
	rows := segmentRows
	if c.fill < 0 {
		if c.fill = len(c.parts); c.fill == 0 {
			rows = firstRows
		}
		c.parts = append(c.parts, part{})
	}
	c.parts[c.fill] = part{segment: newSegment(rows, c.dim)}
	c.owned[c.fill] = true
}

// sparse is the share of a full part's rows that may be gone before the others move.
const sparse = 1. / 8

// remove marks a row as gone. A part with many such rows is left.
func (c *collection) remove(p place) {
	i := p.part()
	c.parts[i] = c.parts[i].without(p.row(), c.owned[i])
	c.owned[i] = true
	if q := c.parts[i]; i != c.fill && float64(q.gone) > sparse*segmentRows {
		c.leave(i)
	}
}

// leave moves the rows of a part into the one that is being filled.
func (c *collection) leave(i int) {
	old := c.parts[i]
	c.parts[i] = part{}
	for r := range old.n {
		if old.lives(r) {
			c.places[old.ids[r]] = c.add(old.keys[r], old.ids[r], old.row(r, c.dim), old.page.Row(r))
		}
	}
}

// publish shows the writer's state to readers. c.mu is held, or nobody knows c yet.
func (c *collection) publish() {
	for n := len(c.parts); n > 0 && c.parts[n-1].segment == nil; n-- {
		c.parts = c.parts[:n-1]
	}
	if c.fill >= len(c.parts) {
		c.fill = -1
	}
	s := &snapshot{dim: c.dim, parts: slices.Clone(c.parts), view: c.fields.View(), items: len(c.places)}
	if c.shown != nil {
		s.pairs = c.shown.pairs
	}
	c.shown = s
	clear(c.owned)
}

// snapshot is what readers see now.
func (c *collection) snapshot() *snapshot {
	s, _ := c.find()
	return s
}

// find is what readers see now, and the places of ids in it, -1 for one that is not
// there.
func (c *collection) find(ids ...string) (s *snapshot, places []int64) {
	places = make([]int64, len(ids))
	c.mu.RLock()
	defer c.mu.RUnlock()
	for i, id := range ids {
		places[i] = nowhere
		if p, ok := c.places[id]; ok {
			places[i] = int64(p)
		}
	}
	return c.shown, places
}

const nowhere = -1

// ids are those of all items, in no order.
func (c *collection) ids() []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Collect(maps.Keys(c.places))
}

// key is the item's in the store.
func (s *snapshot) key(p place) int64 { return s.parts[p.part()].keys[p.row()] }

// vector is the item's, of length 1; not to be changed.
func (s *snapshot) vector(p place) []float32 { return s.parts[p.part()].row(p.row(), s.dim).vector }

func (s *snapshot) id(p place) string { return s.parts[p.part()].ids[p.row()] }
