package dataset

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"vicreg/pipeline/usage"
)

// Bad is a file that could not be used, and the reason.
type Bad struct {
	Key    string `json:"path"`
	Reason string `json:"reason"`
}

// BadFile is the error of a file that cannot be used.
type BadFile struct{ Bad }

func (b *BadFile) Error() string {
	return fmt.Sprintf("image %s: %s", usage.Printable(b.Key), usage.Printable(b.Reason))
}

// isBad reports whether err is a bad file's. It is a separate function so that reading a good file
// allocates nothing for it.
func isBad(err error) bool {
	var b *BadFile
	return errors.As(err, &b)
}

// quarantine records why image i is bad; the first reason stays.
func (r *Reader) quarantine(i int, err error) *BadFile {
	r.mu.Lock()
	if _, known := r.bad[i]; !known {
		r.bad[i] = strings.ReplaceAll(err.Error(), "\n", " ")
	}
	r.mu.Unlock()
	r.state[i].Store(bad)
	return r.badFile(i)
}

// badFile is the error of image i, which is quarantined.
func (r *Reader) badFile(i int) *BadFile {
	r.mu.Lock()
	defer r.mu.Unlock()
	return &BadFile{Bad{r.set.Key(i), r.bad[i]}}
}

// Quarantined lists the bad files met so far, in key order.
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

// tooMany is the error that ends a run; last is a bad image.
func (r *Reader) tooMany(bad, of, last int) error {
	return fmt.Errorf("read images: %d of %d images in %s cannot be used, more than the tolerated share of %v; the last was %w",
		bad, of, r.set.Source(), r.config.MaxBad, r.badFile(last))
}

// tally counts the images of an epoch and the bad ones among them, in the order in which they are
// due rather than that in which workers happen to finish them.
type tally struct{ seen, bad int }

// over reports whether more than the given fraction is bad: either of all images, which is certain,
// or beyond reasonable doubt of those seen so far, which are a random sample. The latter ends a run
// after a few hundred images instead of half a million. The margin for chance is six standard
// deviations plus six images.
func (t tally) over(share float64, all int) bool {
	expected := share * float64(t.seen)
	return float64(t.bad) > share*float64(all) || float64(t.bad) > expected+6*math.Sqrt(expected)+6
}
