package dataset

import (
	"math/bits"
	"math/rand/v2"
	"slices"
)

// Shuffle returns the order in which an epoch visits the images: a uniformly random permutation
// that depends only on seed, epoch and the number of images.
func (s *Set) Shuffle(seed uint64, epoch int) []uint32 { return shuffle(nil, s.Len(), seed, epoch) }

// shuffle writes the order of n images into dst, which grows as needed.
//
// The list takes 4 MB and 20 ms for a million images, and holds no paths. A permutation computed on
// demand (a Feistel network over n cells) would need no memory, but its distribution is off by a
// tenth and more for small sets, and it saves nothing worthwhile below a hundred million images.
func shuffle(dst []uint32, n int, seed uint64, epoch int) []uint32 {
	dst = slices.Grow(dst[:0], n)[:n]
	source := rand.NewPCG(mix(seed), mix(uint64(epoch)))
	for i := range dst {
		j, _ := bits.Mul64(source.Uint64(), uint64(i+1)) // 0 <= j <= i
		dst[i] = dst[j]
		dst[j] = uint32(i)
	}
	return dst
}
