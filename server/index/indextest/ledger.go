package indextest

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"

	"vicreg/server/index"
)

// Call is one change of an index by one of several workers, which have disjoint ids.
type Call struct {
	Worker, Number int // together unique in a ledger
	Kind           string
	IDs            []string
}

// The kinds of calls. Every item that a Put stores is Version of its number.
const (
	Put     = "put"
	Delete  = "delete"
	Compact = "compact"
)

// idsPerWorker is small, so that every id is written again and again.
const idsPerWorker = 150

// RandomCall draws a call: most have one or a few items, some have many.
func RandomCall(r *rand.Rand, worker, number int) Call {
	c := Call{Worker: worker, Number: number, Kind: Put}
	count := 1
	switch p := r.Float64(); {
	case p < 0.004:
		c.Kind, count = Compact, 0
	case p < 0.1:
		count = 1 + r.IntN(idsPerWorker)
	case p < 0.4:
		c.Kind, count = Delete, 1+r.IntN(3)
	case p < 0.42:
		c.Kind, count = Delete, 1+r.IntN(idsPerWorker)
	}
	for _, i := range r.Perm(idsPerWorker)[:count] {
		c.IDs = append(c.IDs, fmt.Sprintf("%d-%03d", worker, i))
	}
	return c
}

// Version returns an item as the call with this number stores it: everything in it depends on the
// number.
func Version(id string, number, dim int) index.Item {
	h := fnv.New64a()
	h.Write([]byte(id))
	r := rand.New(rand.NewPCG(h.Sum64(), uint64(number)))
	it := index.Item{ID: id, Vector: make([]float32, dim), Source: fmt.Sprintf("%s/%d.jpg", id, number), Hash: make([]byte, 32),
		Metadata: fmt.Appendf(nil, `{"number":%d,"odd":%t}`, number, number%2 == 1), Thumbnail: make([]byte, 1+r.IntN(20_000))}
	for i := range it.Vector {
		it.Vector[i] = float32(r.NormFloat64())
	}
	for _, bytes := range [][]byte{it.Hash, it.Thumbnail} {
		for i := range bytes {
			bytes[i] = byte(r.Uint32())
		}
	}
	return it
}

// NumberOf returns the number of the call that stored an item with this metadata.
func NumberOf(metadata json.RawMessage) int {
	var m struct{ Number int }
	if json.Unmarshal(metadata, &m) != nil {
		return -1
	}
	return m.Number
}

// Ledger tracks what an index must hold after acknowledged calls, whatever became of the process.
// It is safe for concurrent use.
type Ledger struct {
	mu      sync.Mutex
	items   map[string]int // by id, the number of the call that stored it
	pending map[int]Call   // by worker, begun but not acknowledged

	calls, stored, deleted, cutOff, finished int
}

// NewLedger returns the ledger of an empty index.
func NewLedger() *Ledger { return &Ledger{items: map[string]int{}, pending: map[int]Call{}} }

// Begin records that a call is about to be made.
func (l *Ledger) Begin(c Call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending[c.Worker] = c
}

// Done records that the pending call of a worker was acknowledged.
func (l *Ledger) Done(worker, number int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, ok := l.pending[worker]
	if !ok || c.Number != number {
		return fmt.Errorf("call %d of worker %d is done, but it has begun %+v", number, worker, c)
	}
	delete(l.pending, worker)
	l.apply(c)
	l.calls++
	if c.Kind == Put {
		l.stored += len(c.IDs)
	} else {
		l.deleted += len(c.IDs)
	}
	return nil
}

func (l *Ledger) apply(c Call) {
	for _, id := range c.IDs {
		if delete(l.items, id); c.Kind == Put {
			l.items[id] = c.Number
		}
	}
}

// Settle determines what became of pending calls. stored returns the number of the call that
// stored an item, 0 if there is none. With whole, a call that was done in part is an error.
func (l *Ledger) Settle(whole bool, stored func(id string) (int, error)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for worker, c := range l.pending {
		changed, kept, err := l.settle(c, stored)
		if err != nil {
			return err
		}
		if whole && changed > 0 && kept > 0 {
			return fmt.Errorf("call %d, a %s of %d items that was cut off, is done for %d of them", c.Number, c.Kind, len(c.IDs), changed)
		}
		if l.cutOff++; kept == 0 {
			l.finished++
		}
		delete(l.pending, worker)
	}
	return nil
}

// settle counts the items that are as a call makes them, and those that are as they were before
// it.
func (l *Ledger) settle(c Call, stored func(id string) (int, error)) (changed, kept int, err error) {
	after := 0
	if c.Kind == Put {
		after = c.Number
	}
	for _, id := range c.IDs {
		is, err := stored(id)
		if err != nil {
			return 0, 0, err
		}
		switch before := l.items[id]; {
		case is == before && is == after: // deleted, and absent before as well
		case is == before:
			kept++
		case is == after:
			changed++
			l.apply(Call{Number: c.Number, Kind: c.Kind, IDs: []string{id}})
		default:
			return 0, 0, fmt.Errorf("%s was stored by call %d, and a %s by call %d was cut off: now it is as call %d stored it", id, before, c.Kind, c.Number, is)
		}
	}
	return changed, kept, nil
}

// Items returns the ids of the items that must exist, sorted, and the calls that stored them.
func (l *Ledger) Items() (ids []string, numbers map[string]int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.items)), maps.Clone(l.items)
}

// Calls returns the number of acknowledged calls.
func (l *Ledger) Calls() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls
}

// String summarises the calls as KEY=VALUE pairs.
func (l *Ledger) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprintf("acknowledged=%d stored=%d deleted=%d cut_off=%d of_them_done=%d", l.calls, l.stored, l.deleted, l.cutOff, l.finished)
}
