package indexing

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"

	"vicreg/server/index"
)

// remote is an index that a server owns.
type remote struct {
	*client
	namespace string

	binding  index.Binding // without the centre, which only the server needs
	centered bool
	most     int   // items per request
	room     int64 // bytes per request

	bared atomic.Int64 // number of items that lost their thumbnails
}

// connect asks a server for its index and its limits.
func connect(ctx context.Context, c *client, namespace string) (*remote, error) {
	var info struct {
		Fingerprint string
		Dim         int
		Limits      struct {
			Body     int64 `json:"body_bytes"`
			Images   int
			Deadline float64 `json:"deadline_seconds"`
		}
		Index *struct{ Fingerprint, Similarity string }
	}
	if err := c.ask(ctx, http.MethodGet, "info", nil, nil, &info); err != nil {
		return nil, err
	}
	if info.Index == nil {
		return nil, fmt.Errorf("the server at %s has no index: start it with --index FILE", c.base.Redacted())
	}
	if info.Limits.Images < 1 || info.Limits.Body < 1 {
		return nil, fmt.Errorf("%s does not look like a vicreg server", c.base.Redacted())
	}
	c.expect(info.Limits.Deadline)
	return &remote{client: c, namespace: namespace, most: info.Limits.Images, room: info.Limits.Body,
		binding:  index.Binding{Fingerprint: info.Index.Fingerprint, Dim: info.Dim},
		centered: info.Index.Similarity != index.Binding{}.Similarity()}, nil
}

func (r *remote) space() index.Binding { return r.binding }

// known fetches all items of the namespace.
func (r *remote) known(ctx context.Context, progress func(done, total int)) (map[string]known, error) {
	all := map[string]known{}
	query := url.Values{"namespace": {r.namespace}, "limit": {"1000"}}
	for {
		var page struct {
			Total int
			Data  []struct {
				entry
				Thumbnail string // its URL
			}
			Next *string
		}
		if err := r.ask(ctx, http.MethodGet, "items", query, nil, &page); err != nil {
			return nil, err
		}
		for _, item := range page.Data {
			k := known{metadata: item.Metadata, source: item.Source, pictured: item.Thumbnail != ""}
			k.hash, _ = hashOf(item.Hash) // zero if there is none
			all[item.ID] = k
		}
		if progress(len(all), page.Total); page.Next == nil {
			return all, nil
		}
		query.Set("after", *page.Next)
	}
}

// put stores items. A request that times out on the server, or is too large for it, is retried in
// halves.
func (r *remote) put(ctx context.Context, items []entry) (bad []string, err error) {
	var result struct {
		Data []struct {
			Index int
			Error *struct {
				Status        int
				Title, Detail string
			}
		}
	}
	if slices.ContainsFunc(items, func(e entry) bool { return e.keep }) {
		if len(items) > 1 { // one image per request: they may be large
			return r.halves(ctx, items)
		}
		items = []entry{r.illustrated(items[0])}
	}
	ask := map[string]any{"namespace": r.namespace, "items": items}
	err = r.ask(ctx, http.MethodPost, "items", nil, ask, &result)
	var no *refusal
	if errors.As(err, &no) && len(items) > 1 && (no.status == http.StatusGatewayTimeout || no.status == http.StatusRequestEntityTooLarge) {
		return r.halves(ctx, items)
	}
	if errors.As(err, &no) && len(items) == 1 && (no.status == http.StatusUnprocessableEntity || no.status == http.StatusRequestEntityTooLarge) {
		return []string{no.detail}, nil
	}
	if err != nil {
		return nil, err
	}
	if len(result.Data) != len(items) {
		return nil, fmt.Errorf("the server answered for %d of %d items", len(result.Data), len(items))
	}
	bad = make([]string, len(items))
	for i, d := range result.Data {
		switch e := d.Error; {
		case d.Index != i:
			return nil, fmt.Errorf("the server answered item %d with index %d", i, d.Index)
		case e != nil && e.Status == http.StatusInsufficientStorage:
			return nil, &refusal{status: e.Status, detail: e.Detail}
		case e != nil:
			if bad[i] = e.Detail; bad[i] == "" {
				bad[i] = e.Title
			}
		}
	}
	return bad, nil
}

// illustrated returns an entry with its image, if that is on this disk, in place of the vector: a
// server accepts no thumbnails, and makes them only from images.
func (r *remote) illustrated(e entry) entry {
	with := e
	with.Image, with.Vector = r.image(e), nil
	if with.Image == nil || sizeOf(with) > r.room {
		r.bared.Add(1)
		return e
	}
	return with
}

// image returns the file of an entry, nil if it is missing or has changed.
func (r *remote) image(e entry) []byte {
	if info, err := os.Stat(e.Source); err != nil || !filepath.IsAbs(e.Source) || !info.Mode().IsRegular() || info.Size() > r.room {
		return nil
	}
	data, err := os.ReadFile(e.Source)
	if sum := sha256.Sum256(data); err != nil || hex.EncodeToString(sum[:]) != e.Hash {
		return nil
	}
	return data
}

func (r *remote) halves(ctx context.Context, items []entry) (bad []string, err error) {
	for _, half := range [][]entry{items[:len(items)/2], items[len(items)/2:]} {
		b, err := r.put(ctx, half)
		if err != nil {
			return nil, err
		}
		bad = append(bad, b...)
	}
	return bad, nil
}

// vector fetches the vector of an item.
func (r *remote) vector(ctx context.Context, id string) ([]float32, error) {
	var item entry
	query := url.Values{"namespace": {r.namespace}, "with_vector": {strconv.FormatBool(true)}}
	err := r.ask(ctx, http.MethodGet, "items/"+url.PathEscape(id), query, nil, &item)
	return item.Vector, err
}

// remove deletes items. Those that somebody else has removed do not count; one that is gone after
// the answer to its deletion was lost counts, as that will have removed it.
func (r *remote) remove(ctx context.Context, ids []string) (removed int, err error) {
	query := url.Values{"namespace": {r.namespace}}
	for _, id := range ids {
		err := r.ask(ctx, http.MethodDelete, "items/"+url.PathEscape(id), query, nil, nil)
		var no *refusal
		switch {
		case err == nil, errors.As(err, &no) && no.status == http.StatusNotFound && no.again:
			removed++
		case !errors.As(err, &no) || no.status != http.StatusNotFound:
			return removed, err
		}
	}
	return removed, nil
}
