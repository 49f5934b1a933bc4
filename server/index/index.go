// Package index stores items with their vectors and finds those most similar to another: durably,
// exactly, and for one model at a time. Index is the interface for other engines to implement;
// File is the built-in implementation.
package index

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"vicreg/server/index/filter"
	"vicreg/server/index/store"
)

// Index stores items in namespaces and searches them. A namespace is created by its first item;
// one without items is the same as one that never existed. All methods are safe for concurrent
// use. An error means that nothing of the call was done, with two exceptions: when ctx ended, the
// call may still be carried out, and after ErrUnsure it may take effect when the index is next
// opened.
type Index interface {
	// Upsert stores items, each in place of the one with its id; of several with the same id the
	// last counts. It reports which ids are new. On return the items are on the disk, and every
	// search finds them. If an item cannot be stored, the error is an *ItemError.
	Upsert(ctx context.Context, namespace string, items ...Item) (created []bool, err error)

	// Delete removes items and reports which existed. On return they are gone from the disk, and
	// no search finds them.
	Delete(ctx context.Context, namespace string, ids ...string) (gone []bool, err error)

	// Search answers each query with its hits, best first; of equal scores the lower id comes
	// first. The search is exact: no hit is missed. If a query cannot be answered, the error is a
	// *QueryError, which wraps ErrUnknown if there is no item with its ID.
	Search(ctx context.Context, namespace string, queries ...Query) ([][]Hit, error)
}

// Limits of items and queries.
const (
	MaxID        = 512      // bytes of an id, a source or the name of a namespace
	MaxMetadata  = 16 << 10 // bytes of an item's metadata
	MaxThumbnail = 64 << 10 // bytes
	MaxDim       = 8192     // dimensions of a vector
	MaxK         = 1000     // hits of a query
)

// DefaultNamespace is the namespace used if none is given.
const DefaultNamespace = "default"

// Item is an entry of the index.
type Item struct {
	ID        string          // unique in its namespace
	Vector    []float32       // [D], as output by the model
	Metadata  json.RawMessage // a JSON object; nil for an empty one
	Source    string          // the path of the image file, "" if there is none
	Hash      []byte          // SHA-256 of the image file, nil if there is none
	Thumbnail []byte          // JPEG, nil if there is none
	Pictured  bool            // whether there is a thumbnail, for an item read without it
}

// Query asks for the items most similar to a vector.
type Query struct {
	Vector  []float32      // [D], as output by the model; or
	ID      string         // an item, which is excluded from the hits itself
	K       int            // maximum number of hits, 1 to MaxK
	Filter  *filter.Filter // condition on the metadata, nil for none
	Without []string       // ids of items to exclude; unknown ones are ignored
	Least   *float32       // minimum score of a hit, nil for none
	Bare    bool           // omit Metadata, Source and Pictured from hits
	Bytes   int64          // maximum bytes of ids, metadata and sources in all hits up to this query's, each item once, else ErrMuch; 0 for any
}

// Hit is an item that was found.
type Hit struct {
	ID         string
	Score      float32 // the similarity, -1 to 1
	Percentile float64 // percentage of item pairs with a lower score; NaN if there are too few items
	Metadata   json.RawMessage
	Source     string
	Pictured   bool // whether there is a thumbnail
}

// Binding describes the vectors of an index. Vectors of different bindings cannot be compared.
type Binding struct {
	Fingerprint string    // of the model
	Dim         int       // D
	Center      []float32 // [D], subtracted before vectors are compared; nil for plain cosine
}

// Similarity returns the name of the measure used for scores.
func (b Binding) Similarity() string {
	if b.Center == nil {
		return "cosine"
	}
	return "centered-cosine"
}

// Errors that callers distinguish.
var (
	ErrUnknown = errors.New("no such item")
	ErrModel   = errors.New("the index belongs to another model")
	ErrMuch    = errors.New("the metadata of the results exceeds the limit")
	ErrClosed  = store.ErrClosed
	ErrUnsure  = store.ErrUnsure
)

// ItemError says why an item cannot be stored.
type ItemError struct {
	Index int // in the call
	Err   error
}

func (e *ItemError) Error() string { return fmt.Sprintf("item %d: %v", e.Index, e.Err) }
func (e *ItemError) Unwrap() error { return e.Err }

// QueryError says why a query cannot be answered.
type QueryError struct {
	Index int // in the call
	Err   error
}

func (e *QueryError) Error() string { return fmt.Sprintf("query %d: %v", e.Index, e.Err) }
func (e *QueryError) Unwrap() error { return e.Err }

// Bind returns the binding of a model with these vectors. The mean over its training images is
// subtracted before scoring: otherwise the outputs of a ReLU all lie in one orthant, with cosines
// near 1. A mean of zero stands for an unknown one.
func Bind(fingerprint string, dim int, mean []float32) Binding {
	b := Binding{Fingerprint: fingerprint, Dim: dim}
	if slices.ContainsFunc(mean, func(v float32) bool { return v != 0 }) {
		b.Center = mean
	}
	return b
}
