package index

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"vicreg/server/index/filter"
	"vicreg/server/index/store"
)

// Listing asks for items in the order in which their ids were first stored.
type Listing struct {
	Filter  *filter.Filter // condition on the metadata, nil for none
	After   int64          // Next of the previous page, 0 for the first
	Limit   int            // maximum number of items
	Bytes   int64          // maximum bytes of their ids, metadata and sources, but at least one item; 0 for any
	Vectors bool           // include the vectors
}

// Page is a page of a list.
type Page struct {
	Items []Item // without thumbnails
	Next  int64  // After of the next page, 0 if there is none
	Total int    // number of items that match the filter, on all pages
}

// List returns a page of the items of a namespace. Items stored for the first time while a caller
// reads page after page come last. Damaged items are omitted: see Damaged.
func (f *File) List(ctx context.Context, namespace string, l Listing) (*Page, error) {
	st, leave, err := f.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	if l.Limit < 1 {
		return nil, fmt.Errorf("a page of %d items: want at least 1", l.Limit)
	}
	keys, total := st.collection(namespace).snapshot().keysAfter(l)
	page := &Page{Total: total, Items: []Item{}}
	if len(keys) > l.Limit {
		keys = keys[:l.Limit]
		page.Next = keys[l.Limit-1]
	}
	if len(keys) == 0 {
		return page, nil
	}
	var size, last int64
	err = st.db.Each(ctx, keys, l.Vectors, func(i int, r *store.Row, bad *Damage) (more bool) { // skips rows deleted meanwhile
		if bad != nil {
			bad.Key, bad.Namespace = keys[i], namespace
			st.damage.find(*bad)
			return true
		}
		if size += weight(r); l.Bytes > 0 && size > l.Bytes && last != 0 {
			page.Next = last
			return false
		}
		page.Items, last = append(page.Items, item(*r)), keys[i]
		return true
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

// weight returns the number of bytes of text in a row.
func weight(r *store.Row) int64 { return int64(len(r.ID) + len(r.Metadata) + len(r.Source)) }

// keysAfter returns the lowest keys above l.After of items that match the filter, sorted, up to
// one more than the limit; and the number of items that match it.
func (s *snapshot) keysAfter(l Listing) (keys []int64, total int) {
	var matcher *filter.Matcher
	if l.Filter != nil {
		matcher = l.Filter.Compile(s.view)
	}
	most := int64(math.MaxInt64)
	cut := func() {
		slices.Sort(keys)
		if len(keys) > l.Limit {
			keys = keys[:l.Limit+1]
			most = keys[l.Limit]
		}
	}
	for _, p := range s.parts {
		if p.segment == nil {
			continue
		}
		mask, count := p.live, p.n-p.gone
		if matcher != nil {
			mask, count = p.matching(matcher)
		}
		total += count
		for _, i := range ones(mask) {
			if key := p.keys[i]; key > l.After && key < most {
				keys = append(keys, key)
			}
		}
		if len(keys) > 4*l.Limit+segmentRows {
			cut()
		}
	}
	cut()
	return keys, total
}

// Has reports whether an item exists, sound or damaged.
func (f *File) Has(namespace, id string) bool {
	st, leave, err := f.enter()
	if err != nil {
		return false
	}
	defer leave()
	_, places := st.collection(namespace).find(id)
	return places[0] != nowhere || st.damage.of(namespace, id) != nil
}

// Get returns an item, without its thumbnail. For an unknown item the error wraps ErrUnknown, for
// a damaged one ErrDamaged.
func (f *File) Get(ctx context.Context, namespace, id string) (*Item, error) {
	st, leave, err := f.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	key, err := st.key(namespace, id)
	if err != nil {
		return nil, err
	}
	rows, err := st.db.Get(ctx, []int64{key}, true)
	if bad, is := errors.AsType[*Damage](err); is {
		st.damage.find(Damage{Key: key, Namespace: namespace, ID: id, Reason: bad.Reason})
	}
	if err != nil {
		return nil, err
	}
	row, is := rows[key]
	if !is {
		return nil, unknown(id)
	}
	it := item(row)
	return &it, nil
}

// Thumbnail returns the thumbnail of an item. An item without one is treated as unknown.
func (f *File) Thumbnail(ctx context.Context, namespace, id string) ([]byte, error) {
	st, leave, err := f.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	key, err := st.key(namespace, id)
	if err != nil {
		return nil, err
	}
	image, err := st.db.Thumbnail(ctx, key)
	if err == nil && len(image) == 0 {
		err = fmt.Errorf("%w with a thumbnail: %q", ErrUnknown, id)
	}
	return image, err
}

// key returns an item's key in the store.
func (st *state) key(namespace, id string) (int64, error) {
	s, places := st.collection(namespace).find(id)
	if places[0] == nowhere {
		if bad := st.damage.of(namespace, id); bad != nil {
			return 0, bad
		}
		return 0, unknown(id)
	}
	return s.key(place(places[0])), nil
}

func unknown(id string) error { return fmt.Errorf("%w: %q", ErrUnknown, id) }

func item(r store.Row) Item {
	return Item{ID: r.ID, Vector: r.Vector, Metadata: r.Metadata, Source: r.Source, Hash: r.Hash, Pictured: r.Pictured}
}
