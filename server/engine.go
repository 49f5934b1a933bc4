package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"vicreg/pipeline/encoder"
	"vicreg/server/batch"
)

// engine is one model in service, with all that goes when another takes its place.
//
// It has two sessions. One uses all threads for a batch: nothing answers a lone
// request sooner. Under load several batches run at once on the other, in the usual
// case with a thread each: batches that share threads wait for the slowest of them
// again and again, and decoders on the same cores make one slow all the time. On a
// device both are the same session.
type engine struct {
	*encoder.Encoder                  // on all threads
	narrow           *encoder.Encoder // for several batches at once
	lone             *encoder.Encoder // of the two the one that is best for few images
	wide             sync.Mutex       // held to use all threads
	rows             rows

	config  Config
	metrics *metrics
	batcher *batch.Batcher[[]uint8, []float32]
	sizes   []batch.Point // throughput by batch size, as measured at the start
	pool    *pool
	canary  canary
	since   time.Time
	users   sync.WaitGroup // requests that began with it
}

// newEngine measures which batch size pays, which takes a second or so, and embeds
// the canary. The encoder is the engine's from here on, also after an error.
func (s *Server) newEngine(enc *encoder.Encoder) (*engine, error) {
	rows, err := newRows(enc, s.config)
	if err != nil {
		return nil, errors.Join(err, enc.Close())
	}
	e := &engine{Encoder: enc, narrow: enc.On(1), lone: enc.On(1), rows: rows, config: s.config, metrics: s.metrics, since: time.Now()}
	enc.Limits = s.config.Limits
	if err := e.learn(); err != nil {
		return nil, errors.Join(fmt.Errorf("measure the model: %w", err), enc.Close())
	}
	e.batcher = batch.New(e.encode, batch.Config{Workers: s.config.Workers, Max: s.config.MaxBatch, Queue: s.config.Queue,
		Limit: s.config.Deadline, Learnt: e.sizes})
	e.pool = newPool(enc, s.config.Decoders, s.pixels)
	if err := e.canary.begin(e, s.log); err != nil {
		return nil, errors.Join(fmt.Errorf("embed the first image: %w", err), e.close(context.Background()))
	}
	return e, nil
}

// close waits for its users, then ends what newEngine started. Work that is not done
// when ctx ends is cut off.
func (e *engine) close(ctx context.Context) error {
	e.canary.stop()
	idle := make(chan struct{})
	go func() {
		e.users.Wait()
		close(idle)
	}()
	select {
	case <-idle:
	case <-ctx.Done():
	}
	err := e.batcher.Close(ctx) // ends the canary's last item, too
	e.canary.done.Wait()
	<-idle // an item that was cut off is its request's to answer
	e.pool.close()
	return errors.Join(err, e.Encoder.Close())
}

// learn finds, on noise, the batch size that pays under load, and whether a lone image
// is any faster on all threads.
func (e *engine) learn() (err error) {
	size := 3 * e.Size() * e.Size()
	pixels, done := e.rows.take(e.config.MaxBatch * size)
	defer done()
	for i := range pixels {
		pixels[i] = uint8(i * 2654435761 >> 13)
	}
	on := func(enc *encoder.Encoder) func(n int) (time.Duration, error) {
		return func(n int) (time.Duration, error) {
			begin, runs := time.Now(), 0
			for ; runs == 0 || time.Since(begin) < learnFor; runs++ {
				if _, err := enc.Encode(context.Background(), pixels[:n*size], n); err != nil {
					return 0, err
				}
			}
			return time.Since(begin) / time.Duration(runs), nil
		}
	}
	if _, e.sizes, err = batch.Best(e.config.MaxBatch, on(e.narrow)); err != nil || e.narrow == e.Encoder {
		return err
	}
	_, alone, err := batch.Best(1, on(e.Encoder))
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

// room refuses a request before its body is read, when even one image would come too
// late.
func (e *engine) room(ctx context.Context) error {
	err := e.batcher.Admit(ctx, 1, e.pool.predict(1))
	if err == nil {
		e.batcher.Leave(1)
	}
	return err
}

// encode runs a batch, in pieces of a power of two: batches have such sizes unless a
// caller left.
func (e *engine) encode(ctx context.Context, items [][]uint8) ([][]float32, error) {
	e.metrics.batches.Observe(float64(len(items)))
	out := make([][]float32, 0, len(items))
	for len(items) > 0 {
		n := batch.Floor2(len(items))
		y, err := e.piece(ctx, items[:n])
		if err != nil {
			return nil, err
		}
		for i := range n {
			out = append(out, y[i*e.Dim():(i+1)*e.Dim():(i+1)*e.Dim()])
		}
		items = items[n:]
	}
	return out, nil
}

// piece runs some images of a batch.
func (e *engine) piece(ctx context.Context, items [][]uint8) ([]float32, error) {
	pixels, done := e.rows.join(items)
	defer done()
	return e.run(ctx, pixels, len(items))
}

// run takes all threads while few images are there, and one's share of them while many
// are. With two workers, few is one.
func (e *engine) run(ctx context.Context, pixels []uint8, n int) ([]float32, error) {
	if e.lone == e.narrow || e.batcher.Busy() || !e.wide.TryLock() {
		return e.narrow.Encode(ctx, pixels, n)
	}
	defer e.wide.Unlock()
	return e.lone.Encode(ctx, pixels, n)
}
