package dataset

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"vicreg/pipeline/imaging"
)

// Bad is a file that could not be used, and why.
type Bad struct{ Key, Reason string }

// Reader decodes the pictures of one Set, keeps decoded ones in memory within a
// budget, and remembers which files are bad. Any number of goroutines may use it
// at once; a Loader and Images may share one.
type Reader struct {
	set    *Set
	config ReaderConfig

	cache []atomic.Pointer[imaging.RGB] // by index in set
	free  atomic.Int64                  // bytes left of the budget

	mu  sync.Mutex
	bad map[int]string // reason by index in set
}

// ReaderConfig is what a Reader may be told; its zero value is usable.
type ReaderConfig struct {
	Limits imaging.Limits
	// CacheBytes is how much memory decoded pictures may take. What came first
	// stays: with every picture read once an epoch, nothing else is better.
	CacheBytes int64
	// MaxBad is the share of bad files above which reading fails; 0 means one half.
	MaxBad float64
}

// NewReader returns a Reader of set.
func NewReader(set *Set, config ReaderConfig) *Reader {
	if config.MaxBad == 0 {
		config.MaxBad = 0.5
	}
	r := &Reader{set: set, config: config, bad: map[int]string{}}
	r.cache = make([]atomic.Pointer[imaging.RGB], set.Len())
	r.free.Store(config.CacheBytes)
	return r
}

// Set is what the reader reads.
func (r *Reader) Set() *Set { return r.set }

// Image returns the decoded picture i, which must not be changed. A file that
// cannot be used is a *BadFile error; any other error is no fault of the file and
// ends the run.
func (r *Reader) Image(i int) (*imaging.RGB, error) {
	if m := r.cache[i].Load(); m != nil {
		return m, nil
	}
	r.mu.Lock()
	reason, bad := r.bad[i]
	r.mu.Unlock()
	if bad {
		return nil, &BadFile{Bad{r.set.Key(i), reason}}
	}
	data, err := r.set.ReadFile(i)
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM) {
		return nil, fmt.Errorf("read images: %w", err)
	}
	var m *imaging.RGB
	if err == nil {
		m, err = imaging.Decode(data, r.config.Limits)
	}
	if err != nil {
		return nil, r.quarantine(i, err)
	}
	r.keep(i, m)
	return m, nil
}

// keep puts m into the cache if the budget allows.
func (r *Reader) keep(i int, m *imaging.RGB) {
	size := int64(len(m.Pix))
	if r.free.Add(-size) < 0 || !r.cache[i].CompareAndSwap(nil, m) {
		r.free.Add(size)
	}
}

// BadFile is the error of a file that cannot be used.
type BadFile struct{ Bad }

func (b *BadFile) Error() string { return fmt.Sprintf("image %s: %s", b.Key, b.Reason) }

// isBad says that err is a bad file's. It is apart so that reading a good one
// allocates nothing for it.
func isBad(err error) bool {
	var b *BadFile
	return errors.As(err, &b)
}

func (r *Reader) quarantine(i int, err error) error {
	b := &BadFile{Bad{r.set.Key(i), strings.ReplaceAll(err.Error(), "\n", " ")}}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bad[i] = b.Reason
	if n := len(r.bad); float64(n) > r.config.MaxBad*float64(r.set.Len()) {
		return fmt.Errorf("read images: %d of %d files in %s cannot be used, more than the share of %v that is tolerated; the last was %v",
			n, r.set.Len(), r.set.Source(), r.config.MaxBad, b)
	}
	return b
}

// Quarantined lists the bad files met so far, in the order of their keys.
func (r *Reader) Quarantined() []Bad {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]Bad, 0, len(r.bad))
	for i, reason := range r.bad {
		list = append(list, Bad{r.set.Key(i), reason})
	}
	slices.SortFunc(list, func(a, b Bad) int { return strings.Compare(a.Key, b.Key) })
	return list
}

// Substitute returns picture i or, when its file is bad, the next good one in the
// order of the keys, going on at the first after the last. That choice follows
// from the files alone, never from what was read before. At the end of it all
// files are bad and the error says so.
func (r *Reader) Substitute(i int) (*imaging.RGB, error) {
	var last error
	for step := range r.set.Len() {
		m, err := r.Image((i + step) % r.set.Len())
		if err == nil || !isBad(err) {
			return m, err
		}
		last = err
	}
	return nil, fmt.Errorf("read images: none of the %d files in %s can be used; the last was %v", r.set.Len(), r.set.Source(), last)
}
