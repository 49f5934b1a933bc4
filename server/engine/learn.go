package engine

import (
	"context"
	"time"

	"vicreg/server/batch"
)

// learn measures, on noise, which batch size pays under load, and whether a lone image is faster on
// all threads.
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

// worthAll is the speed-up that all threads must bring a lone image to be used for it.
const worthAll = 1.1

// learnFor is how long one measurement of a batch size lasts: a single run of a small model is too
// short to average out the clock's resolution and the machine's other work.
const learnFor = 30 * time.Millisecond
