package bulk

import (
	"context"
	"crypto/sha256"
	"sync"

	"vicreg/pipeline/dataset"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
	"vicreg/pipeline/thumbnail"
)

// Hash is the SHA-256 of an image file.
type Hash = [sha256.Size]byte

// Image is what an index stores about an image. The receiver owns it.
type Image struct {
	Index     int // in the set
	Hash      Hash
	Vector    []float32 // [D]
	Thumbnail []byte    // JPEG; nil when none could be made
}

// Images turns the images of a set into vectors, with workers as in Encode. Each file is read once
// and, if want returns true for its index and hash, decoded once; hashing and thumbnails happen in
// the decoding goroutines, under the given limits. want is called from several of them
// concurrently; each is called in the order of the set from a single goroutine, and its error ends
// the run. Unreadable files are returned in the order of their keys.
func Images(ctx context.Context, enc *encoder.Encoder, workers int, limits imaging.Limits, set *dataset.Set,
	want func(i int, hash Hash) bool, each func(Image) error) (bad []dataset.Bad, err error) {
	s := sights{want: want, by: map[int]Image{}}
	r := dataset.NewReader(set, dataset.ReaderConfig{Limits: limits, Conversion: enc.Metadata().Preprocess.Conversion, MaxBad: 1,
		Look: &dataset.Look{File: s.file, Picture: s.picture}})
	all := make([]int, set.Len())
	for i := range all {
		all[i] = i
	}
	err = Encode(ctx, enc, workers, r, all, func(p dataset.Picture, y []float32) error {
		m := s.take(p.Index)
		m.Vector = y
		return each(m)
	})
	return r.Quarantined(), err
}

// sights holds what is known about the images in flight.
type sights struct {
	want func(i int, hash Hash) bool

	mu sync.Mutex
	by map[int]Image
}

func (s *sights) file(i int, data []byte) bool {
	hash := sha256.Sum256(data)
	if !s.want(i, hash) {
		return false
	}
	s.set(Image{Index: i, Hash: hash})
	return true
}

// picture makes the thumbnail. Failure is not an error: an image can do without one.
func (s *sights) picture(i int, m *imaging.RGB) {
	if small, err := thumbnail.Make(m); err == nil {
		it := s.take(i)
		it.Thumbnail = small
		s.set(it)
	}
}

func (s *sights) set(m Image) {
	s.mu.Lock()
	s.by[m.Index] = m
	s.mu.Unlock()
}

// take returns what is known about image i and forgets it.
func (s *sights) take(i int) Image {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.by[i]
	delete(s.by, i)
	return m
}
