package engine

import (
	"slices"

	"vicreg/models/ort"
	"vicreg/models/tensor"
)

// DeviceBatch is how many images of a batch are tried on a CUDA device.
const DeviceBatch = 128

// shapes are the sizes of batches that a device runs, ascending, each on the session of
// its number; a batch of another is filled up to the next. On the host, which runs any,
// they are nil.
//
// Source: the runtime's CUDA provider (1.30) keeps of each convolution the plan for the
// shape that came last, and for another makes it anew. In one session a change of size
// takes many times what a batch does. The weights are on the device once for each size.
type shapes []int

// shapesOf are those for batches of up to most images.
func shapesOf(d ort.Device, most int) shapes {
	if d.Kind == tensor.Host {
		return nil
	}
	var s shapes
	for _, size := range []int{1, 8, 32} {
		if size < most {
			s = append(s, size)
		}
	}
	return append(s, most)
}

// Sessions is how many sessions of a model an engine wants on a device that is not the
// host, for batches of up to most images: one for each size.
func Sessions(d ort.Device, most int) int { return len(shapesOf(d, most)) }

// session is the number of the session that runs n images, of which there are no more
// than the most.
func (s shapes) session(n int) int {
	k, _ := slices.BinarySearch(s, n)
	return k
}

// hold is the smallest size that holds n images.
func (s shapes) hold(n int) int {
	if s == nil {
		return n
	}
	return s[s.session(n)]
}
