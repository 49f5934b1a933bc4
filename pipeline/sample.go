package pipeline

import (
	"errors"
	"math"
	"slices"

	"vicreg/pipeline/bulk"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
	"vicreg/pipeline/stats"
)

// rawSide is the side to which raw pixels are brought down: a picture of 224
// pixels would be a vector of 150,528 numbers.
const rawSide = 32

// sample is a set of encoded images, one a row.
type sample struct {
	kinds  []string     // "" for an image that is in no folder
	files  []bulk.Hash  // of the bytes of each
	y, raw stats.Matrix // vectors [N, D]; pixels [N, 3*side*side]

	size    int // side of the pixels given to add
	pre     imaging.Preprocess
	scratch imaging.Scratch
}

func newSample(enc *encoder.Encoder) *sample {
	side := min(enc.Size(), rawSide)
	pre := imaging.Preprocess{Crop: side, Interpolation: enc.Metadata().Preprocess.Interpolation}
	return &sample{size: enc.Size(), pre: pre, y: stats.New(0, enc.Dim()), raw: stats.New(0, 3*side*side)}
}

// add appends an image; pixels and y are copied.
func (s *sample) add(kind string, file bulk.Hash, pixels []uint8, y []float32) {
	s.kinds, s.files = append(s.kinds, kind), append(s.files, file)
	s.y.Data = append(s.y.Data, y...)
	s.y.N++
	small := make([]uint8, s.raw.D)
	imaging.Evaluate(&imaging.RGB{Pix: pixels, W: s.size, H: s.size}, small, s.pre, &s.scratch)
	for _, v := range small {
		s.raw.Data = append(s.raw.Data, float32(v))
	}
	s.raw.N++
}

// among counts the images of s whose file has the bytes of one of others.
func (s *sample) among(others *sample) (n int) {
	there := map[bulk.Hash]bool{}
	for _, h := range others.files {
		there[h] = true
	}
	for _, h := range s.files {
		if there[h] {
			n++
		}
	}
	return n
}

// named is the part of the sample that lies in folders.
func (s *sample) named() *sample {
	n := &sample{y: stats.New(0, s.y.D), raw: stats.New(0, s.raw.D)}
	for i, kind := range s.kinds {
		if kind == "" {
			continue
		}
		n.kinds = append(n.kinds, kind)
		n.y.Data = append(n.y.Data, s.y.Row(i)...)
		n.raw.Data = append(n.raw.Data, s.raw.Row(i)...)
		n.y.N++
		n.raw.N++
	}
	return n
}

// neighborsOfOthers are each row's k nearest among all other rows.
func neighborsOfOthers(m stats.Matrix, k int) [][]stats.Neighbor {
	found := stats.Neighbors(m, m, min(k, m.N)+1)
	for i, near := range found {
		found[i] = slices.DeleteFunc(near, func(n stats.Neighbor) bool { return n.Index == i })
	}
	return found
}

// minus is m with a row taken off every row.
func minus(m stats.Matrix, row []float32) stats.Matrix {
	out := stats.New(m.N, m.D)
	for i := range m.N {
		for j, v := range m.Row(i) {
			out.Row(i)[j] = v - row[j]
		}
	}
	return out
}

func meanRow(m stats.Matrix) []float32 {
	total := make([]float64, m.D)
	for i := range m.N {
		for j, v := range m.Row(i) {
			total[j] += float64(v)
		}
	}
	mean := make([]float32, m.D)
	for j, v := range total {
		mean[j] = float32(v / float64(m.N))
	}
	return mean
}

// commonest is the share of the most frequent label.
func commonest(labels []int) float64 {
	most, counts := 0, map[int]int{}
	for _, l := range labels {
		counts[l]++
		most = max(most, counts[l])
	}
	return float64(most) / float64(len(labels))
}

// meanCosines is the mean cosine over all pairs of different rows with equal
// labels, and over all pairs with different ones; NaN where there is no pair.
// The sum over pairs follows from the sums of unit vectors: |sum u|^2 is the sum
// over all ordered pairs, a row with itself included.
func meanCosines(m stats.Matrix, labels []int) (within, between float64) {
	unit := m.Normalized()
	all, perLabel, counts := make([]float64, m.D), map[int][]float64{}, map[int]int{}
	var self float64
	for i, l := range labels {
		if perLabel[l] == nil {
			perLabel[l] = make([]float64, m.D)
		}
		counts[l]++
		for j, v := range unit.Row(i) {
			x := float64(v)
			all[j] += x
			perLabel[l][j] += x
			self += x * x
		}
	}
	var same, samePairs float64
	for l, n := range counts {
		same += squared(perLabel[l])
		samePairs += float64(n) * float64(n)
	}
	n := float64(len(labels))
	return share(same-self, samePairs-n), share(squared(all)-same, n*n-samePairs)
}

// share is a sum over so many; NaN over none, whatever rounding has left of the sum.
func share(sum, count float64) float64 {
	if count == 0 {
		return math.NaN()
	}
	return sum / count
}

func squared(x []float64) (sum float64) {
	for _, v := range x {
		sum += v * v
	}
	return sum
}

// evenly chooses at most limit of n indices, spread over all of them and in
// order, so that folders count by their size.
func evenly(n, limit int) []int {
	limit = min(n, limit)
	chosen := make([]int, limit)
	for i := range chosen {
		chosen[i] = i * n / limit
	}
	return chosen
}

var errNoPicture = errors.New("none of the images could be read")
