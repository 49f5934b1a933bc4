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
	most     int   // items of a request
	room     int64 // bytes of a request

	bared atomic.Int64 // items that lost their thumbnails
}

// connect asks a server what its index and its limits are.
func connect(ctx context.Context, c *client, namespace string) (*remote, error) {
	var info struct {
		Fingerprint string
		Dim         int
		Limits      struct {
			Body   int64 `json:"body_bytes"`
			Images int
		}
		Index *struct{ Fingerprint, Similarity string }
	}
	if err := c.ask(ctx, http.MethodGet, "info", nil, nil, &info); err != nil {
		return nil, err
	}
	if info.Index == nil {
		return nil, fmt.Errorf("the server at %s has no index: it is started without --index FILE", c.base.Redacted())
	}
	if info.Limits.Images < 1 || info.Limits.Body < 1 {
		return nil, fmt.Errorf("what answers at %s is no vicreg serve", c.base.Redacted())
	}
	return &remote{client: c, namespace: namespace, most: info.Limits.Images, room: info.Limits.Body,
		binding:  index.Binding{Fingerprint: info.Index.Fingerprint, Dim: info.Dim},
		centered: info.Index.Similarity != index.Binding{}.Similarity()}, nil
}

func (r *remote) space() index.Binding { return r.binding }

// known asks for all items of the namespace.
func (r *remote) known(ctx context.Context, progress func(done, total int)) (map[string]known, error) {
	all := map[string]known{}
	query := url.Values{"namespace": {r.namespace}, "limit": {"1000"}}
	for {
		var page struct {
			Total int
			Data  []struct {
				entry
				Thumbnail string // its address
			}
			Next *string
		}
		if err := r.ask(ctx, http.MethodGet, "items", query, nil, &page); err != nil {
			return nil, err
		}
		for _, item := range page.Data {
			k := known{metadata: item.Metadata, source: item.Source, pictured: item.Thumbnail != ""}
			k.hash, _ = hashOf(item.Hash) // zero where there is none
			all[item.ID] = k
		}
		if progress(len(all), page.Total); page.Next == nil {
			return all, nil
		}
		query.Set("after", *page.Next)
	}
}

// put stores items. A request that takes the server too long is sent again in halves.
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
		if len(items) > 1 { // an image a request: they may be large
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
		return nil, fmt.Errorf("the server answers %d of %d items", len(result.Data), len(items))
	}
	bad = make([]string, len(items))
	for i, d := range result.Data {
		switch e := d.Error; {
		case d.Index != i:
			return nil, fmt.Errorf("the server answers item %d with number %d", i, d.Index)
		case e != nil && e.Status == http.StatusInsufficientStorage:
			return nil, &refusal{e.Status, e.Detail}
		case e != nil:
			if bad[i] = e.Detail; bad[i] == "" {
				bad[i] = e.Title
			}
		}
	}
	return bad, nil
}

// illustrated is an entry with its image, if that is on this disk, in the place of the
// vector: a server takes no thumbnails and makes one of an image only.
func (r *remote) illustrated(e entry) entry {
	with := e
	with.Image, with.Vector = r.image(e), nil
	if with.Image == nil || sizeOf(with) > r.room {
		r.bared.Add(1)
		return e
	}
	return with
}

// image is the file that an entry is of, nil when it is not what it was.
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

// vector asks for the vector of an item.
func (r *remote) vector(ctx context.Context, id string) ([]float32, error) {
	var item entry
	query := url.Values{"namespace": {r.namespace}, "with_vector": {strconv.FormatBool(true)}}
	err := r.ask(ctx, http.MethodGet, "items/"+url.PathEscape(id), query, nil, &item)
	return item.Vector, err
}

// remove deletes items. Those that somebody else has removed are gone, and do not count.
func (r *remote) remove(ctx context.Context, ids []string) (removed int, err error) {
	query := url.Values{"namespace": {r.namespace}}
	for _, id := range ids {
		err := r.ask(ctx, http.MethodDelete, "items/"+url.PathEscape(id), query, nil, nil)
		var no *refusal
		switch {
		case err == nil:
			removed++
		case !errors.As(err, &no) || no.status != http.StatusNotFound:
			return removed, err
		}
	}
	return removed, nil
}
