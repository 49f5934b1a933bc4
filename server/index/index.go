// Package index keeps items with their vectors and finds those that are most similar
// to another: durable, exact, and for one model at a time. Index is the seam where
// another engine fits; File is the one that comes with the program.
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

// Index stores items in namespaces and searches among them. A namespace is made by
// its first item; one without items is as one that was never there. All methods may
// be called at once. An error means that nothing of the call was done, unless ctx
// ended: then the call may still be carried out.
type Index interface {
	// Upsert stores items, each in place of the one with its id, and of two with one id
	// the later. It tells which ids are new. On return they are on the disk, and every
	// search finds them. The error of an item that cannot be stored is an *ItemError.
	Upsert(ctx context.Context, namespace string, items ...Item) (created []bool, err error)

	// Delete removes items and tells which were there. On return they are gone from the
	// disk, and no search finds them.
	Delete(ctx context.Context, namespace string, ids ...string) (gone []bool, err error)

	// Search answers each query with its hits, best first; of equal scores the lower id
	// is first. The search is exact: nothing that belongs to an answer is left out. The
	// error of a query that cannot be answered is a *QueryError, which wraps ErrUnknown
	// where there is no item with its ID.
	Search(ctx context.Context, namespace string, queries ...Query) ([][]Hit, error)
}

// Limits of what is stored and asked for.
const (
	MaxID        = 512      // bytes of an id, a source or the name of a namespace
	MaxMetadata  = 16 << 10 // bytes of an item's metadata
	MaxThumbnail = 64 << 10 // bytes
	MaxDim       = 8192     // numbers of a vector
	MaxK         = 1000     // hits of a query
)

// DefaultNamespace is where items are when nobody says otherwise.
const DefaultNamespace = "default"

// Item is something to be found.
type Item struct {
	ID        string          // unique in its namespace
	Vector    []float32       // [D], as the model gives it
	Metadata  json.RawMessage // a JSON object; nil for an empty one
	Source    string          // the path of the image file, "" if there is none
	Hash      []byte          // SHA-256 of the image file, nil if there is none
	Thumbnail []byte          // JPEG, nil if there is none
	Pictured  bool            // whether there is one, of an item that was read without it
}

// Query asks for the items most similar to a vector.
type Query struct {
	Vector  []float32      // [D], as the model gives it; or
	ID      string         // an item, which is left out of the hits itself
	K       int            // at most as many hits, 1 to MaxK
	Filter  *filter.Filter // what the metadata must fulfil, nil for nothing
	Without []string       // ids of items that are no hits; one that is not there changes nothing
	Least   *float32       // the lowest score that is a hit, nil for any
	Bare    bool           // hits without metadata, source and whether there is a thumbnail
	Bytes   int64          // that ids, metadata and sources of all hits of the call, each counted once, may have up to this query's; more is ErrMuch; 0 for any number
}

// Hit is an item that was found.
type Hit struct {
	ID         string
	Score      float32 // the similarity, -1 to 1
	Percentile float64 // share of pairs of items whose score is lower, in %; NaN where there are too few items to tell
	Metadata   json.RawMessage
	Source     string
	Pictured   bool // whether there is a thumbnail
}

// Binding is what the vectors of an index have in common. They mean nothing beside
// others.
type Binding struct {
	Fingerprint string    // of the model
	Dim         int       // D
	Center      []float32 // [D], subtracted before vectors are compared; nil for plain cosine
}

// Similarity is the name of the measure that scores are in.
func (b Binding) Similarity() string {
	if b.Center == nil {
		return "cosine"
	}
	return "centered-cosine"
}

// Errors that callers tell apart.
var (
	ErrUnknown = errors.New("there is no such item")
	ErrModel   = errors.New("the index belongs to another model")
	ErrMuch    = errors.New("the items that are found have more metadata than is wanted")
	ErrClosed  = store.ErrClosed
)

// ItemError is why an item cannot be stored.
type ItemError struct {
	Index int // in the call
	Err   error
}

func (e *ItemError) Error() string { return fmt.Sprintf("item %d: %v", e.Index, e.Err) }
func (e *ItemError) Unwrap() error { return e.Err }

// QueryError is why a query cannot be answered.
type QueryError struct {
	Index int // in the call
	Err   error
}

func (e *QueryError) Error() string { return fmt.Sprintf("query %d: %v", e.Index, e.Err) }
func (e *QueryError) Unwrap() error { return e.Err }

// Bind is the binding of a model with these vectors. The mean of its training images
// is what scores are taken less of: without it the vectors of a ReLU all lie in one
// corner, and their cosines near 1. A mean of zero is one that nobody knows.
func Bind(fingerprint string, dim int, mean []float32) Binding {
	b := Binding{Fingerprint: fingerprint, Dim: dim}
	if slices.ContainsFunc(mean, func(v float32) bool { return v != 0 }) {
		b.Center = mean
	}
	return b
}
