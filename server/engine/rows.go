package engine

import (
	"vicreg/models/tensor"
	"vicreg/pipeline/encoder"
)

// rows is memory in which the images of batches are laid in a row, for each worker as
// much as the largest takes: where a device takes them faster than from any other. It
// is the encoder's to free. On the host, where any memory does, it is nil, and a row is
// made for each batch.
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

// take gives a row of so many bytes, and what gives it back.
func (r rows) take(bytes int) (row []uint8, done func()) {
	if r == nil {
		return make([]uint8, bytes), func() {}
	}
	p := <-r
	return p.Data[:bytes], func() { r <- p }
}

// join lays images in a row that has room for size of them; behind them is what was
// there before. On the host, one is a row by itself.
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
