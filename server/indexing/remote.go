package indexing

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

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

// known asks for all items of the namespace.
func (r *remote) known(ctx context.Context, progress func(done, total int)) (map[string]known, error) {
	all := map[string]known{}
	query := url.Values{"namespace": {r.namespace}, "limit": {"1000"}}
	for {
		var page struct {
			Total int
			Data  []entry
			Next  *string
		}
		if err := r.ask(ctx, http.MethodGet, "items", query, nil, &page); err != nil {
			return nil, err
		}
		for _, item := range page.Data {
			k := known{metadata: item.Metadata, source: item.Source}
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

// remove deletes items. Those that are gone already are gone.
func (r *remote) remove(ctx context.Context, ids []string) error {
	query := url.Values{"namespace": {r.namespace}}
	for _, id := range ids {
		err := r.ask(ctx, http.MethodDelete, "items/"+url.PathEscape(id), query, nil, nil)
		var no *refusal
		if err != nil && !(errors.As(err, &no) && no.status == http.StatusNotFound) {
			return err
		}
	}
	return nil
}
