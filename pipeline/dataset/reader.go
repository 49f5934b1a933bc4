package dataset

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"vicreg/pipeline/imaging"
)

// Reader decodes the pictures of one Set, keeps decoded ones in memory within a
// budget, and remembers which files are bad. Any number of goroutines may use it
// at once; a Loader and Images may share one.
//
// What a file holds when it is first read settles what its picture is, whatever an
// older index says of it. One that has changed, or is gone, when it is read again
// is bad from then on, as is one that cannot be decoded: a run goes on with the
// picture it had or with a substitute, never with two pictures under one key.
type Reader struct {
	set    *Set
	config ReaderConfig

	cache   []atomic.Pointer[imaging.RGB] // by index in set; nil without a budget
	free    atomic.Int64                  // bytes left of the budget
	decoded atomic.Int64

	state []atomic.Uint32 // by index in set: unread, bad, or the mark of the file
	mu    sync.Mutex
	bad   map[int]string // reason by index in set
}

// States of a file; every other value is its mark at its first reading.
const (
	unread = 0
	bad    = 1
)

// ReaderConfig is what a Reader may be told; its zero value is usable.
type ReaderConfig struct {
	Limits     imaging.Limits
	Conversion imaging.Conversion
	// CacheBytes is how much memory decoded pictures may take. What came first
	// stays: with every picture read once an epoch, nothing else is better.
	CacheBytes int64
	// MaxBad is the share of bad files above which reading fails; 0 means one half.
	MaxBad float64
	// Look, if it is set, sees what Images reads. Pictures that are in memory have no
	// file at hand: it goes with CacheBytes 0.
	Look *Look
}

// Look lets a caller of Images see what is at hand while a picture is made, so that
// no file has to be read or decoded twice. Images calls it from its workers, for
// several pictures at once, and for picture i before i is yielded.
type Look struct {
	// File sees the bytes of a file, which are valid during the call, before they are
	// decoded. When it returns false the picture is left out, and is not bad.
	File func(i int, data []byte) bool
	// Picture sees the decoded picture, which is valid during the call and must not be
	// changed.
	Picture func(i int, m *imaging.RGB)
}

// NewReader returns a Reader of set.
func NewReader(set *Set, config ReaderConfig) *Reader {
	if config.MaxBad == 0 {
		config.MaxBad = 0.5
	}
	r := &Reader{set: set, config: config, state: make([]atomic.Uint32, set.Len()), bad: map[int]string{}}
	if config.CacheBytes > 0 {
		r.cache = make([]atomic.Pointer[imaging.RGB], set.Len())
		r.free.Store(config.CacheBytes)
	}
	return r
}

// desk is a worker's own memory, which serves one picture after the other.
type desk struct {
	file    []byte
	decoder imaging.Decoder
	picture imaging.RGB
	scratch imaging.Scratch
	look    *Look // nil for none
}

// Set is what the reader reads.
func (r *Reader) Set() *Set { return r.set }

// Decoded is the number of pictures that were decoded, or tried; those that came
// from the cache are not counted.
func (r *Reader) Decoded() int64 { return r.decoded.Load() }

// Image returns the decoded picture i, which must not be changed. A file that
// cannot be used is a *BadFile error; any other error is no fault of the file and
// ends the run.
func (r *Reader) Image(i int) (*imaging.RGB, error) {
	var d desk
	defer d.decoder.Close()
	return r.image(i, &d)
}

// image is Image on a desk: the picture is valid until the next one there.
func (r *Reader) image(i int, d *desk) (*imaging.RGB, error) {
	if r.cache != nil {
		if m := r.cache[i].Load(); m != nil {
			return m, nil
		}
	}
	if r.state[i].Load() == bad {
		return nil, r.badFile(i)
	}
	data, mark, err := r.set.read(i, d.file)
	d.file = data[:0]
	if fatal(err) != nil {
		return nil, fmt.Errorf("read images: %w", err)
	}
	if err == nil {
		err = r.unchanged(i, mark)
	}
	if err == nil && d.look != nil && !d.look.File(i, data) {
		return nil, errLeftOut
	}
	if err == nil {
		r.decoded.Add(1)
		d.decoder.Conversion = r.config.Conversion
		err = d.decoder.Decode(&d.picture, data, r.config.Limits)
	}
	if err != nil {
		return nil, r.quarantine(i, err)
	}
	if d.look != nil {
		d.look.Picture(i, &d.picture)
	}
	return r.keep(i, &d.picture), nil
}

// errLeftOut is the error of a picture that the look does not want.
var errLeftOut = errors.New("picture is left out")

// unchanged compares a file with what it was when it was first read.
func (r *Reader) unchanged(i int, mark uint32) error {
	if mark == unread || r.state[i].CompareAndSwap(unread, mark) || r.state[i].Load() == mark {
		return nil
	}
	return errors.New("file has changed since it was first read")
}

// keep puts a copy of m into the cache if the budget allows, and returns m or the
// copy.
func (r *Reader) keep(i int, m *imaging.RGB) *imaging.RGB {
	size := int64(len(m.Pix))
	if r.cache == nil {
		return m
	}
	if r.free.Add(-size) >= 0 {
		copied := &imaging.RGB{Pix: slices.Clone(m.Pix), W: m.W, H: m.H}
		if r.cache[i].CompareAndSwap(nil, copied) {
			return copied
		}
	}
	r.free.Add(size)
	return m
}

// substitute returns picture i or, when its file is bad, the next good one in the
// order of the keys, going on at the first after the last; lost says which of the
// two. That choice follows from the files alone, never from what was read before.
func (r *Reader) substitute(i int, d *desk) (m *imaging.RGB, lost bool, err error) {
	n := r.set.Len()
	for step := range n {
		j := (i + step) % n
		if r.state[j].Load() != bad { // else reading it would only tell why
			m, err = r.image(j, d)
			if err == nil || !isBad(err) {
				return m, step > 0, err
			}
		}
		if count := step + 1; float64(count) > r.config.MaxBad*float64(n) {
			return nil, true, r.tooMany(count, n, j)
		}
	}
	return nil, true, fmt.Errorf("read images: none of the %d images in %s can be used; the last was %w",
		n, r.set.Source(), r.badFile((i+n-1)%n))
}

// Substitute returns picture i or, when its file is bad, the next good one in the
// order of the keys, going on at the first after the last. That choice follows
// from the files alone, never from what was read before. It is an error when more
// files in a row are bad than MaxBad allows of all, or all are.
func (r *Reader) Substitute(i int) (*imaging.RGB, error) {
	var d desk
	defer d.decoder.Close()
	m, _, err := r.substitute(i, &d)
	return m, err
}
