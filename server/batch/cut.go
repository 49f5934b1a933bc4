package batch

import "slices"

// cutter splits a number of items into batches when only some sizes can be run.
type cutter []int // indexed by the number of items: how many to run first

// newCutter derives the time of each size from learnt. A size that was not measured (because it
// would not have paid) is assumed to have the throughput of the largest smaller one that was.
func newCutter(sizes []int, learnt []Point) cutter {
	seconds := map[int]float64{}
	last := Point{PerSecond: 1}
	for _, size := range sizes {
		if i := slices.IndexFunc(learnt, func(p Point) bool { return p.Size == size }); i >= 0 {
			last = learnt[i]
		}
		seconds[size] = float64(size) / last.PerSecond
	}
	most := sizes[len(sizes)-1]
	c, all := make(cutter, most+1), make([]float64, most+1)
	for n := 1; n <= most; n++ {
		// A full batch is never cut, whatever was learnt: it may be a trial of its size.
		if took, is := seconds[n]; is {
			c[n], all[n] = n, took
			continue
		}
		for _, size := range slices.Backward(sizes) {
			first := min(n, size)
			if took := seconds[size] + all[n-first]; c[n] == 0 || took < more*all[n] {
				c[n], all[n] = first, took
			}
		}
	}
	return c
}

// more is the fraction of the time of fewer batches that a split into more must stay below.
const more = 0.99

func (c cutter) cut(n int) int { return c[n] }
