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
// On the host it has two sessions. One uses all threads for a batch: nothing answers a lone
// request sooner. Under load several batches run at once on the other, in the usual
// case with a thread each: batches that share threads wait for the slowest of them
// again and again, and decoders on the same cores make one slow all the time.
//
// A device has one session for each size of batches (shapes), which run one after the
// other. The encoder is the first and runs single images.
type engine struct {
	*encoder.Encoder                  // on all threads
	narrow           *encoder.Encoder // for several batches at once; on a device the same
	lone             *encoder.Encoder // of the two the one that is best for few images
	wide             sync.Mutex       // held to use all threads, or the device
	shapes           shapes
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
	e := &engine{Encoder: enc, narrow: enc.On(1), shapes: shapesOf(enc.Device(), s.config.MaxBatch), rows: rows,
		config: s.config, metrics: s.metrics, since: time.Now()}
	if e.shapes != nil {
		e.narrow = enc
	}
	e.lone = e.narrow
	enc.Limits = s.config.Limits
	if err := e.learn(); err != nil {
		return nil, errors.Join(fmt.Errorf("measure the model: %w", err), enc.Close())
	}
	e.batcher = batch.New(e.encode, batch.Config{Workers: s.config.Workers, Max: s.config.MaxBatch, Queue: s.config.Queue,
		Limit: s.config.Deadline, Sizes: e.shapes, Learnt: e.sizes})
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

// room refuses a request before its body is read, when even one image would come too
// late.
func (e *engine) room(ctx context.Context) error {
	err := e.batcher.Admit(ctx, 1, e.pool.predict(1))
	if err == nil {
		e.batcher.Leave(1)
	}
	return err
}

// encode runs a batch, in pieces where callers have left since it was formed and one of
// what remains would take longer.
func (e *engine) encode(ctx context.Context, items [][]uint8) ([][]float32, error) {
	e.metrics.batches.Observe(float64(len(items)))
	out := make([][]float32, 0, len(items))
	for len(items) > 0 {
		n := e.batcher.Cut(len(items))
		y, err := e.piece(ctx, items[:n], e.run)
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

// runner turns n images in a row into their vectors.
type runner = func(ctx context.Context, pixels []uint8, n int) ([]float32, error)

// piece runs some images of a batch, among as many as the device runs at once.
func (e *engine) piece(ctx context.Context, items [][]uint8, run runner) ([]float32, error) {
	n := e.shapes.hold(len(items))
	pixels, done := e.rows.join(items, n)
	defer done()
	y, err := run(ctx, pixels, n)
	if err != nil {
		return nil, err
	}
	return y[:len(items)*e.Dim()], nil
}

// run takes all threads while few images are there, and one's share of them while many
// are. With two workers, few is one.
func (e *engine) run(ctx context.Context, pixels []uint8, n int) ([]float32, error) {
	if e.lone == e.narrow || e.batcher.Busy() || !e.wide.TryLock() {
		return e.runNarrow(ctx, pixels, n)
	}
	defer e.wide.Unlock()
	return e.lone.Encode(ctx, pixels, n)
}

// runNarrow takes one's share of the threads, or the device, which has to run so many.
func (e *engine) runNarrow(ctx context.Context, pixels []uint8, n int) ([]float32, error) {
	if e.shapes == nil {
		return e.narrow.Encode(ctx, pixels, n)
	}
	e.wide.Lock()
	defer e.wide.Unlock()
	return e.On(e.shapes.session(n)).Encode(ctx, pixels, n)
}
