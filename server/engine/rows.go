package engine

import (
	"vicreg/models/tensor"
	"vicreg/pipeline/encoder"
)

// rows is a pool of buffers in which the images of a batch are made contiguous, one per worker and
// large enough for the largest batch, in memory that the device copies from fastest. The encoder
// frees them. On the host, where any memory will do, it is nil, and a buffer is allocated for each
// batch.
type rows chan *encoder.Pixels

func newRows(enc *encoder.Encoder, c Config) (rows, error) {
	if enc.Device().Kind == tensor.Host {
		return nil, nil
	}
	r := make(rows, max(c.Workers, 1))
	for range cap(r) {
		p, err := enc.NewPixels(c.MaxBatch)
		if err != nil {
			return nil, err
		}
		r <- p
	}
	return r, nil
}

// take returns a buffer of the given number of bytes, and a function that releases it.
func (r rows) take(bytes int) (row []uint8, done func()) {
	if r == nil {
		return make([]uint8, bytes), func() {}
	}
	p := <-r
	return p.Data[:bytes], func() { r <- p }
}

// join copies images into a buffer with room for size of them; the rest of the buffer keeps its
// previous contents. On the host, a single image is used without copying.
func (r rows) join(images [][]uint8, size int) (row []uint8, done func()) {
	if r == nil && size == 1 {
		return images[0], func() {}
	}
	row, done = r.take(size * len(images[0]))
	at := row
	for _, m := range images {
		at = at[copy(at, m):]
	}
	return row, done
}
