package engine

import (
	"context"
	"time"

	"vicreg/server/batch"
)

// learn finds, on noise, the batch size that pays under load, and whether a lone image
// is any faster on all threads.
func (e *Engine) learn() (err error) {
	size := 3 * e.Size() * e.Size()
	pixels, done := e.rows.take(e.shared.config.MaxBatch * size)
	defer done()
	for i := range pixels {
		pixels[i] = uint8(i * 2654435761 >> 13)
	}
	on := func(run runner) func(n int) (time.Duration, error) {
		return func(n int) (time.Duration, error) {
			begin, runs := time.Now(), 0
			for ; runs == 0 || time.Since(begin) < learnFor; runs++ {
				if _, err := run(context.Background(), pixels[:n*size], n); err != nil {
					return 0, err
				}
			}
			return time.Since(begin) / time.Duration(runs), nil
		}
	}
	sizes := []int(e.shapes)
	if sizes == nil {
		sizes = batch.Powers(e.shared.config.MaxBatch)
	}
	if _, e.sizes, err = batch.Best(sizes, on(e.runNarrow)); err != nil || e.narrow == e.Encoder {
		return err
	}
	_, alone, err := batch.Best([]int{1}, on(e.Encode))
	if err == nil && alone[0].PerSecond > worthAll*e.sizes[0].PerSecond {
		e.lone = e.Encoder
	}
	return err
}

// worthAll is how much faster all threads must be for a lone image to get them.
const worthAll = 1.1

// learnFor is how long a batch size is measured at a time: one run of a small model
// is over before the clock and the machine's other work even out.
const learnFor = 30 * time.Millisecond
