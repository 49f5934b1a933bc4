package dataset

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"vicreg/pipeline/imaging"
)

// Reader decodes the images of one Set, caches decoded ones in memory within a budget, and
// remembers which files are bad. It is safe for concurrent use; a Loader and Images may share one.
//
// The contents of a file at its first reading define its image, whatever an older index says of it.
// A file that has changed or is gone when it is read again is bad from then on, as is one that
// cannot be decoded: a run continues with the cached image or with a substitute, never with two
// images under one key.
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

// States of a file; every other value is the file's mark at its first reading.
const (
	unread = 0
	bad    = 1
)

// ReaderConfig configures a Reader; its zero value is usable.
type ReaderConfig struct {
	Limits     imaging.Limits
	Conversion imaging.Conversion
	// CacheBytes limits the memory of cached images. The first ones stay: when every image is read
	// once per epoch, no eviction policy does better.
	CacheBytes int64
	// MaxBad is the fraction of bad files above which reading fails; 0 means one half.
	MaxBad float64
	// Look, if set, observes what Images reads. It needs CacheBytes 0: a cache hit reads no file.
	Look *Look
}

// Look lets a caller of Images inspect the file and the decoded image on the way, so that nothing
// is read or decoded twice. Images calls it from its workers, for several images concurrently, and
// for image i before i is yielded.
type Look struct {
	// File receives the bytes of a file before they are decoded; they are valid during the call. If
	// it returns false, the image is left out without counting as bad.
	File func(i int, data []byte) bool
	// Picture receives the decoded image, which is valid during the call and must not be modified.
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

// desk is a worker's scratch memory, reused for one image after another.
type desk struct {
	file    []byte
	decoder imaging.Decoder
	picture imaging.RGB
	scratch imaging.Scratch
	look    *Look // nil for none
}

// Set returns the set that the reader reads.
func (r *Reader) Set() *Set { return r.set }

// Decoded returns the number of attempts to decode an image; cache hits are not counted.
func (r *Reader) Decoded() int64 { return r.decoded.Load() }

// Image returns the decoded image i, which must not be modified. An unusable file is a *BadFile
// error; any other error is not the file's fault and ends the run.
func (r *Reader) Image(i int) (*imaging.RGB, error) {
	var d desk
	defer d.decoder.Close()
	return r.image(i, &d)
}

// image is Image using d's memory: the image is valid until the next call with d.
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

// errLeftOut is the error of an image that the Look rejects.
var errLeftOut = errors.New("picture is left out")

// unchanged compares a file with its state at its first reading.
func (r *Reader) unchanged(i int, mark uint32) error {
	if mark == unread || r.state[i].CompareAndSwap(unread, mark) || r.state[i].Load() == mark {
		return nil
	}
	return errors.New("file has changed since it was first read")
}

// keep caches a copy of m if the budget allows, and returns the copy, else m.
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

// substitute returns image i or, if its file is bad, the next good one in key order, wrapping
// around at the end; lost reports a substitution. The choice depends on the files alone, never on
// what was read before.
func (r *Reader) substitute(i int, d *desk) (m *imaging.RGB, lost bool, err error) {
	n := r.set.Len()
	for step := range n {
		j := (i + step) % n
		if r.state[j].Load() != bad { // reading it again would only repeat the reason
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

// Substitute returns image i or, if its file is bad, the next good one in key order, wrapping
// around at the end. The choice depends on the files alone, never on what was read before. It is an
// error if all files are bad, or if a run of consecutive bad files exceeds the fraction MaxBad of
// the set.
func (r *Reader) Substitute(i int) (*imaging.RGB, error) {
	var d desk
	defer d.decoder.Close()
	m, _, err := r.substitute(i, &d)
	return m, err
}
