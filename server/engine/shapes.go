package engine

import (
	"slices"

	"vicreg/models/ort"
	"vicreg/models/tensor"
)

// DeviceBatch is the default maximum batch size on a CUDA device.
const DeviceBatch = 128

// shapes are the batch sizes that a device runs, ascending; size k has session k, and other sizes
// are padded to the next larger one. On the host, which runs any size, shapes is nil.
//
// Source: the runtime's CUDA provider (1.30) caches each convolution's plan only for the last shape
// and rebuilds it for another. Within one session, a change of size takes many times as long as a
// batch. The weights are on the device once per size.
type shapes []int

// shapesOf returns the shapes for batches of up to most images.
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

// Sessions is the number of sessions of a model that an engine needs on a device other than the
// host for batches of up to most images: one per size.
func Sessions(d ort.Device, most int) int { return len(shapesOf(d, most)) }

// session is the index of the session that runs n images; n must not exceed the largest size.
func (s shapes) session(n int) int {
	k, _ := slices.BinarySearch(s, n)
	return k
}

// hold is the smallest size that fits n images.
func (s shapes) hold(n int) int {
	if s == nil {
		return n
	}
	return s[s.session(n)]
}
