package dataset

import (
	"math/bits"
	"math/rand/v2"
	"slices"
)

// Shuffle is the order in which an epoch visits the pictures: a permutation that
// depends on seed, epoch and the number of pictures only, all equally likely.
func (s *Set) Shuffle(seed uint64, epoch int) []uint32 { return shuffle(nil, s.Len(), seed, epoch) }

// shuffle writes the order of n pictures into dst, which grows as needed.
//
// It is a list, 4 MB and 20 ms for a million pictures, and holds no paths. A
// permutation computed where it is asked for (a Feistel network on a table of n
// cells) would need no memory, but is uneven for small sets by a tenth and more,
// and gives nothing back below a hundred million pictures.
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
