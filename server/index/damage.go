package index

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"vicreg/server/index/store"
)

// Damage is an item whose row is not as it was written.
type Damage = store.Damage

// damages are the items that are known to be damaged: those that were left out when the file was
// loaded, and those of which it turned out later, which are still in memory.
type damages struct {
	tell func(d Damage) // called for the latter; may be nil

	mu    sync.RWMutex
	known map[int64]Damage
	names map[[2]string]int64 // keys by namespace and id
}

func newDamages() *damages {
	return &damages{known: map[int64]Damage{}, names: map[[2]string]int64{}}
}

// told returns a registry with the same items that calls tell.
func (d *damages) told(tell func(d Damage)) *damages {
	d.tell = tell
	return d
}

// add adds items, and returns those that were not known.
func (d *damages) add(bad ...Damage) (added []Damage) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, b := range bad {
		if _, known := d.known[b.Key]; !known {
			d.known[b.Key], d.names[[2]string{b.Namespace, b.ID}] = b, b.Key
			added = append(added, b)
		}
	}
	return added
}

// find adds an item that has been found to be damaged while it was read.
func (d *damages) find(b Damage) {
	for _, b := range d.add(b) {
		if d.tell != nil {
			d.tell(b)
		}
	}
}

// heal removes the item with a key that has been stored again or deleted, and reports whether it
// was there.
func (d *damages) heal(key int64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	b, was := d.known[key]
	if was {
		delete(d.known, key)
		delete(d.names, [2]string{b.Namespace, b.ID})
	}
	return was
}

// of returns the damaged item of an id, nil if there is none.
func (d *damages) of(namespace, id string) *Damage {
	d.mu.RLock()
	defer d.mu.RUnlock()
	key, is := d.names[[2]string{namespace, id}]
	if !is {
		return nil
	}
	b := d.known[key]
	return &b
}

func (d *damages) count() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return len(d.known)
}

// all returns all items, sorted by key.
func (d *damages) all() []Damage {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return slices.SortedFunc(maps.Values(d.known), func(a, b Damage) int { return cmp.Compare(a.Key, b.Key) })
}

// faulty is a row with its checksum that could not have been stored.
func faulty(r *store.Row, why error) *Damage {
	return &Damage{Key: r.Key, Namespace: r.Namespace, ID: r.ID, Reason: "is invalid: " + why.Error()}
}

// Damaged returns the items that are known to be damaged, sorted by key. They are left out of
// answers and count as existing: storing one again or deleting it mends the file.
func (f *File) Damaged() []Damage {
	st, leave, err := f.enter()
	if err != nil {
		return nil
	}
	defer leave()
	return st.damage.all()
}
