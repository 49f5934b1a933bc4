package linear

import (
	"bytes"
	"crypto/sha256"
	"slices"
)

// PartCount is the number of parts that samples are divided into: one is for testing, or for
// choosing the penalty, and the rest for training.
const PartCount = 5

// Parts divides images, given by the hashes of their files and their labels, into parts, spreading
// each kind over them as evenly as possible. Copies of a file share a part whatever their labels:
// otherwise a classifier trained on one and tested on the other would only have to memorise. The
// result depends neither on the order of the images nor on the names of the kinds.
func Parts[H ~[32]byte](files []H, labels []int) []int {
	copies := map[H][]int{}
	for i, h := range files {
		copies[h] = append(copies[h], i)
	}
	parts, perKind, total := make([]int, len(files)), map[[2]int]int{}, [PartCount]int{}
	for _, h := range shuffled(copies) {
		of := func(part int) (n int) {
			for _, i := range copies[h] {
				n += perKind[[2]int{labels[i], part}]
			}
			return n
		}
		best := 0
		for part := range PartCount {
			if n, least := of(part), of(best); n < least || n == least && total[part] < total[best] {
				best = part
			}
		}
		for _, i := range copies[h] {
			parts[i] = best
			perKind[[2]int{labels[i], best}]++
			total[best]++
		}
	}
	return parts
}

// shuffled returns the files in an order that depends only on their contents.
func shuffled[H ~[32]byte](copies map[H][]int) []H {
	keys := map[H][32]byte{}
	for h := range copies {
		keys[h] = sha256.Sum256(append([]byte("vicreg eval, parts, 1\n"), h[:]...))
	}
	order := make([]H, 0, len(copies))
	for h := range copies {
		order = append(order, h)
	}
	slices.SortFunc(order, func(a, b H) int {
		x, y := keys[a], keys[b]
		return bytes.Compare(x[:], y[:])
	})
	return order
}

// Enough reports whether at least two kinds have a distinct file for each part; with less there is
// nothing to train on and test with.
func Enough[H ~[32]byte](files []H, labels []int) bool {
	distinct := map[int]map[H]bool{}
	for i, h := range files {
		if distinct[labels[i]] == nil {
			distinct[labels[i]] = map[H]bool{}
		}
		distinct[labels[i]][h] = true
	}
	enough := 0
	for _, files := range distinct {
		if len(files) >= PartCount {
			enough++
		}
	}
	return enough >= 2
}
