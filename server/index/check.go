package index

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode"
	"unicode/utf8"

	"vicreg/server/index/filter"
)

// Check returns the error that Upsert would return for an item, nil if it would store it.
func (f *File) Check(item Item) error {
	st, leave, err := f.enter()
	if err != nil {
		return err
	}
	defer leave()
	_, _, err = st.check(item)
	return err
}

// check returns the vector as it is searched by, and the parsed metadata.
func (st *state) check(item Item) (unit []float32, meta *filter.Metadata, err error) {
	if meta, err = checkText(item); err != nil {
		return nil, nil, err
	}
	unit, err = st.binding.unit(item.Vector)
	return unit, meta, err
}

// CheckText returns the error that Upsert would return for an item regardless of its vector and
// of the rest of the namespace.
func CheckText(item Item) error {
	_, err := checkText(item)
	return err
}

// checkText returns the parsed metadata.
func checkText(item Item) (*filter.Metadata, error) {
	if err := CheckID(item.ID); err != nil {
		return nil, fmt.Errorf("the id %w", err)
	}
	switch {
	case len(item.Source) > MaxID || !utf8.ValidString(item.Source):
		return nil, fmt.Errorf("the source has %d bytes: want up to %d of UTF-8", len(item.Source), MaxID)
	case len(item.Metadata) > MaxMetadata:
		return nil, fmt.Errorf("the metadata has %d bytes: want at most %d", len(item.Metadata), MaxMetadata)
	case len(item.Thumbnail) > MaxThumbnail:
		return nil, fmt.Errorf("the thumbnail has %d bytes: want at most %d", len(item.Thumbnail), MaxThumbnail)
	case len(item.Hash) != 0 && len(item.Hash) != 32:
		return nil, fmt.Errorf("the hash has %d bytes: want the 32 of SHA-256", len(item.Hash))
	}
	return filter.ReadMetadata(item.Metadata)
}

// CheckID returns what is wrong with an id or the name of a namespace, worded to follow "the id".
// Both have 1 to MaxID bytes of UTF-8 without control characters, and are not "." or "..", which
// have a special meaning in a URL.
func CheckID(id string) error {
	switch {
	case id == "":
		return errors.New("is empty")
	case id == "." || id == "..":
		return fmt.Errorf("is %q, which a URL cannot contain", id)
	case len(id) > MaxID:
		return fmt.Errorf("has %d bytes: want at most %d", len(id), MaxID)
	case !utf8.ValidString(id):
		return errors.New("is not UTF-8")
	case strings.ContainsFunc(id, unicode.IsControl):
		return fmt.Errorf("%q has control characters", id)
	}
	return nil
}

// unit returns a vector as it is compared: minus the centre, and normalised to length 1.
func (b Binding) unit(vector []float32) ([]float32, error) {
	unit := make([]float32, b.Dim)
	if err := b.unitOf(unit, vector); err != nil {
		return nil, err
	}
	return unit, nil
}

// unitOf is unit, but writes the result to unit, [D], which may be vector itself; on error that
// is partly written.
func (b Binding) unitOf(unit, vector []float32) error {
	if len(vector) != b.Dim {
		return fmt.Errorf("the vector has %d numbers: want %d, as in this index", len(vector), b.Dim)
	}
	var sum float64
	for i, v := range vector {
		if v-v != 0 {
			return fmt.Errorf("number %d of the vector is not finite", i)
		}
		w := float64(v)
		if b.Center != nil {
			w -= float64(b.Center[i])
		}
		unit[i] = float32(w)
		sum += w * w
	}
	norm := math.Sqrt(sum)
	if norm == 0 || float32(1/norm)-float32(1/norm) != 0 {
		return errors.New("the vector (after subtracting the index's mean, if any) is zero and has no direction")
	}
	for i, v := range unit {
		unit[i] = float32(float64(v) / norm)
	}
	return nil
}
