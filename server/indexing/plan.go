package indexing

import (
	"context"
	"encoding/json"
	"iter"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"vicreg/pipeline/bulk"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/usage"
	"vicreg/server/index"
)

// known is what a namespace holds of an item.
type known struct {
	hash     bulk.Hash // zero if the item has none
	metadata json.RawMessage
	source   string
	pictured bool // whether it has a thumbnail
}

// deed is what is to be done with an addition.
type deed uint8

const (
	leave    deed = iota // unchanged
	insert               // new
	replace              // present, with other bytes
	describe             // present, with other metadata or at another place
	hold                 // the id belongs to another image that still exists
	deeds                // number of deeds
)

// addition is an image, or a vector, that is to be in the index.
type addition struct {
	id, source string
	label      string          // "" if unknown
	own        json.RawMessage // metadata that it comes with, nil for none
}

// entry is an item to be stored, in the form of the server's API.
type entry struct {
	ID       string          `json:"id"`
	Image    []byte          `json:"image,omitempty"`
	Vector   []float32       `json:"vector,omitempty"`
	Metadata json.RawMessage `json:"metadata,omitempty"`
	Source   string          `json:"source,omitempty"`
	Hash     string          `json:"sha256,omitempty"`

	thumbnail []byte
	keep      bool // keep the item's thumbnail, and its vector if the entry has none
}

// pending is an entry that is to be stored, and why.
type pending struct {
	deed
	entry
}

// plan decides what to do with additions to a namespace and counts what was done. It is safe for
// concurrent use.
type plan struct {
	known  map[string]known
	rows   rows
	root   string        // folder that ids in metadata files may be below
	roots  []string      // folders that the sources of the additions are below
	prefix string        // of all their ids
	space  index.Binding // of the existing vectors; without the centre if that is a server's

	mu        sync.Mutex
	done      [deeds]int
	displaced int // replaced items that came from another file
	held      []dataset.Bad
	bad       []dataset.Bad
}

// addition returns image i of a set as an addition.
func (p *plan) addition(set *dataset.Set, i int) addition {
	return addition{id: p.prefix + set.Key(i), source: set.Path(i), label: set.Label(i)}
}

// judge returns what to do with an addition that has this hash.
func (p *plan) judge(a addition, hash bulk.Hash) deed {
	k, was := p.known[a.id]
	switch {
	case !was:
		return insert
	case k.hash != hash && p.belongs(k, a):
		return hold
	case k.hash != hash:
		return replace
	case k.source != a.source || !same(p.metadata(a), k.metadata):
		return describe
	}
	return leave
}

// belongs reports whether an item is of an image other than the addition that still exists, and
// is not below the roots, where it would be an addition itself.
func (p *plan) belongs(k known, a addition) bool {
	return a.source != "" && a.source != k.source && filepath.IsAbs(k.source) && !below(k.source, p.roots) && there(k.source)
}

// row returns the metadata file's row for an id, which may be written there without the prefix.
func (p *plan) row(id string) (row json.RawMessage, there bool) {
	if row, there = p.rows[idOf(id, p.root)]; there {
		return row, true
	}
	row, there = p.rows[idOf(strings.TrimPrefix(id, p.prefix), p.root)]
	return row, there
}

// metadata returns the metadata of an addition: its row, or else what it comes with, plus the
// label unless that is in it; with neither, what is stored already, or the label alone.
func (p *plan) metadata(a addition) json.RawMessage {
	row, described := p.row(a.id)
	if !described && a.own != nil {
		row, described = a.own, true
	}
	k, was := p.known[a.id]
	switch {
	case !described && was:
		return k.metadata
	case a.label == "":
		return row
	case !described:
		row = json.RawMessage("{}")
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(row, &members); err != nil || members["label"] != nil {
		return row
	}
	members["label"] = quoted(a.label)
	labelled, err := json.Marshal(members)
	if err != nil {
		return row
	}
	return labelled
}

// store puts a batch into the index and records the results.
func (p *plan) store(ctx context.Context, to target, batch []pending) error {
	if len(batch) == 0 {
		return nil
	}
	entries := make([]entry, len(batch))
	for i, b := range batch {
		entries[i] = b.entry
	}
	bad, err := to.put(ctx, entries)
	if err != nil {
		return err
	}
	for i, b := range batch {
		if bad[i] != "" {
			p.refuse(b.ID, bad[i])
			continue
		}
		if from := p.known[b.ID].source; b.deed == replace && from != "" && from != b.Source {
			p.mu.Lock()
			p.displaced++
			p.mu.Unlock()
		}
		p.did(b.deed, 1)
	}
	return nil
}

// stored returns the number of additions that were written.
func (p *plan) stored() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done[insert] + p.done[replace] + p.done[describe]
}

// did counts n additions as done.
func (p *plan) did(d deed, n int) {
	p.mu.Lock()
	p.done[d] += n
	p.mu.Unlock()
}

// unfit records an addition that could not be stored with any vector, and reports whether it is
// one.
func (p *plan) unfit(a addition) bool {
	err := index.CheckText(index.Item{ID: a.id, Metadata: p.metadata(a), Source: a.source})
	if err != nil {
		p.refuse(a.id, err.Error())
	}
	return err != nil
}

// left records an addition that needs nothing to be stored, and reports whether the deed is of
// that kind.
func (p *plan) left(d deed, a addition) bool {
	switch d {
	case leave:
		p.did(leave, 1)
	case hold:
		p.mu.Lock()
		p.held = append(p.held, dataset.Bad{Key: a.id, Reason: "already belongs to " + usage.Printable(p.known[a.id].source)})
		p.done[hold]++
		p.mu.Unlock()
	default:
		return false
	}
	return true
}

// refuse records an addition that cannot be indexed.
func (p *plan) refuse(id, reason string) {
	p.mu.Lock()
	p.bad = append(p.bad, dataset.Bad{Key: id, Reason: strings.ReplaceAll(reason, "\n", " ")})
	p.mu.Unlock()
}

// finished returns the number of additions that have been dealt with.
func (p *plan) finished() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.bad)
	for _, d := range p.done {
		n += d
	}
	return n
}

// unmatched returns the ids of metadata rows that match none of the additions.
func (p *plan) unmatched(ids iter.Seq[string]) []string {
	left := map[string]bool{}
	for id := range p.rows {
		left[id] = true
	}
	for id := range ids {
		delete(left, idOf(id, p.root))
		delete(left, idOf(strings.TrimPrefix(id, p.prefix), p.root))
	}
	return sorted(left)
}

func sorted(set map[string]bool) []string {
	list := make([]string, 0, len(set))
	for id := range set {
		list = append(list, id)
	}
	slices.Sort(list)
	return list
}
