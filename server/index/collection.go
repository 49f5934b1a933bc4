package index

import (
	"maps"
	"slices"
	"sync"

	"vicreg/server/index/filter"
)

// collection is a namespace in memory. It has one writer at a time; what that has published never
// changes, so searches proceed concurrently without a lock.
type collection struct {
	dim    int
	fields *filter.Dictionary // for the writer only
	parts  []part             // for the writer only; it does not change those in shown
	filled bool               // a part has become full since the sketcher was last told
	learnt learnt             // for the sketcher only
	fill   int                // index of the part being filled, -1 for none
	owned  map[int]bool       // parts whose live is not shared with readers yet
	moved  int                // rows added or removed since the pairs were drawn
	coded  int                // rows encoded with fields

	mu     sync.RWMutex
	shown  *snapshot        // what readers see
	places map[string]place // by id, as of shown
	total  *tally           // counts shown; nil if nothing does
	share  share            // what total has of it
}

// snapshot is a namespace at one moment. It is immutable.
type snapshot struct {
	dim   int
	parts []part
	view  filter.View
	items int
	pairs *pairs

	vocabulary int64 // bytes of the fields and their distinct values
}

// place identifies a row by its part and its index there.
type place uint32

func at(part, row int) place { return place(part*segmentRows + row) }
func (p place) part() int    { return int(p / segmentRows) }
func (p place) row() int     { return int(p % segmentRows) }
func newCollection(dim int) *collection {
	c := &collection{dim: dim, fields: filter.NewDictionary(), fill: -1, owned: map[int]bool{}, places: map[string]place{}}
	c.publish()
	return c
}

// change is one step of the writer: an item that is now in the store, or with a nil row one that
// has been removed from it.
type change struct {
	id   string
	key  int64
	row  *row
	meta filter.Row
}

// apply makes changes and publishes them all at once. It reports which ids existed before.
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

// draw renews the random pairs once enough items have changed. Only the writer calls it, and it
// does not block readers.
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

// stale is the number of changes, as a fraction of the items, from which new random pairs are
// worth their cost.
const stale = 0.2

// Once mostCoded rows plus four times the current number have been encoded, the columns are
// rebuilt.
const mostCoded = 10_000

// forget drops the fields and values that no metadata has any more, if there may be many. Only
// the writer calls it.
func (c *collection) forget() {
	if c.coded > mostCoded+4*len(c.places) {
		c.renew()
	}
}

// renew moves the columns to a new dictionary of only what they contain. Readers keep the old
// columns and dictionary until it is done.
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
		p.measure(c.dim)
	}
	c.fields, c.coded = move.To, len(c.places)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.publish()
}

// finish ends a load by publishing what was added.
func (c *collection) finish() {
	c.mu.Lock()
	c.moved = len(c.places)
	c.publish()
	c.mu.Unlock()
	c.draw()
}

// add appends a row to the part being filled.
func (c *collection) add(key int64, id string, r row, meta filter.Row) place {
	if c.fill < 0 || c.parts[c.fill].n == segmentRows {
		c.begin()
	}
	p := &c.parts[c.fill]
	if p.n == len(p.keys) {
		p.segment = p.segment.grown(c.dim)
	}
	if !c.owned[c.fill] { // readers share these words
		p.live, c.owned[c.fill] = slices.Clone(p.live), true
	}
	if p.n%64 == 0 {
		p.live = append(p.live, 0)
	}
	p.set(p.n, key, id, r)
	p.idBytes += int64(len(id))
	p.page = p.page.With(p.n, meta)
	p.live[p.n/64] |= 1 << (p.n % 64)
	p.n++
	return at(c.fill, p.n-1)
}

// begin selects an empty part to fill: one that has been vacated, or a new one.
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

// sparse is the fraction of a full part's rows that may be gone before the remaining ones are
// moved.
const sparse = 1. / 8

// remove marks a row as gone, and vacates its part if that has many such rows.
func (c *collection) remove(p place) {
	i := p.part()
	c.parts[i] = c.parts[i].without(p.row(), c.owned[i])
	c.owned[i] = true
	if q := c.parts[i]; i != c.fill && float64(q.gone) > sparse*segmentRows {
		c.leave(i)
	}
}

// leave moves the rows of a part into the one being filled.
func (c *collection) leave(i int) {
	old := c.parts[i]
	c.parts[i] = part{}
	for r := range old.n {
		if old.lives(r) {
			c.places[old.ids[r]] = c.add(old.keys[r], old.ids[r], old.row(r, c.dim), old.page.Row(r))
		}
	}
}

// publish makes the writer's state visible to readers. c.mu must be held, unless c is not shared
// yet.
func (c *collection) publish() {
	for n := len(c.parts); n > 0 && c.parts[n-1].segment == nil; n-- {
		c.parts = c.parts[:n-1]
	}
	if c.fill >= len(c.parts) {
		c.fill = -1
	}
	for i := range c.owned {
		if i < len(c.parts) {
			c.parts[i].measure(c.dim)
		}
	}
	s := &snapshot{dim: c.dim, parts: slices.Clone(c.parts), view: c.fields.View(), items: len(c.places), vocabulary: c.fields.Size()}
	if c.shown != nil {
		s.pairs = c.shown.pairs
	}
	c.shown = s
	c.count()
	clear(c.owned)
}

// snapshot returns what readers currently see.
func (c *collection) snapshot() *snapshot {
	s, _ := c.find()
	return s
}

// find returns the current snapshot, and the places of ids in it, -1 for an id that is not there.
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

// ids returns the ids of all items, in no particular order.
func (c *collection) ids() []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Collect(maps.Keys(c.places))
}

// key returns the item's key in the store.
func (s *snapshot) key(p place) int64 { return s.parts[p.part()].keys[p.row()] }

// vector returns the item's vector, of length 1; it must not be modified.
func (s *snapshot) vector(p place) []float32 { return s.parts[p.part()].row(p.row(), s.dim).vector }

func (s *snapshot) id(p place) string { return s.parts[p.part()].ids[p.row()] }
