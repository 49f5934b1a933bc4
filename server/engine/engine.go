// Package engine runs a model for many requests at once: it admits images, decodes them,
// gathers them into batches of the size that pays, remembers vectors, and knows whether it
// is well. Its images come from requests, but it knows nothing of HTTP.
package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"vicreg/pipeline/encoder"
	"vicreg/server/batch"
)

// Engine is one model in service, with all that goes when another takes its place.
//
// On the host it has two sessions. One uses all threads for a batch: nothing answers a lone
// request sooner. Under load several batches run at once on the other, in the usual
// case with a thread each: batches that share threads wait for the slowest of them
// again and again, and decoders on the same cores make one slow all the time.
//
// A device has one session for each size of batches (shapes), which run one after the
// other. The encoder is the first and runs single images.
type Engine struct {
	*encoder.Encoder                  // on all threads
	narrow           *encoder.Encoder // for several batches at once; on a device the same
	lone             *encoder.Encoder // of the two the one that is best for few images
	wide             sync.Mutex       // held to use all threads, or the device
	shapes           shapes
	rows             rows

	shared  *Shared
	batcher *batch.Batcher[[]uint8, []float32]
	sizes   []batch.Point // throughput by batch size, as measured at the start
	pool    *pool
	canary  canary
	since   time.Time
	users   sync.WaitGroup // requests that began with it
}

// Use keeps the engine open until done is called, which has to be once.
func (e *Engine) Use() (done func()) {
	e.users.Add(1)
	return e.users.Done
}

// Close waits for its users, then ends what Start began. Work that is not done when ctx
// ends is cut off.
func (e *Engine) Close(ctx context.Context) error {
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

// Stats are what there is to tell of an engine.
type Stats struct {
	Since      time.Time     // when it was started
	Batch      int           // images of a batch at the most, as was measured to pay
	Throughput []batch.Point // by batch size, as measured at the start
	Waiting    int           // images taken on and not embedded
	CanaryAge  time.Duration // since the canary was last right
}

// Stats are those of now.
func (e *Engine) Stats() Stats {
	return Stats{Since: e.since, Batch: e.batcher.Size(), Throughput: e.sizes, Waiting: e.batcher.Waiting(), CanaryAge: e.canary.age()}
}

// Room refuses a request before its body is read, when even one image would come too
// late.
func (e *Engine) Room(ctx context.Context) error {
	err := e.batcher.Admit(ctx, 1, e.pool.predict(1))
	if err == nil {
		e.batcher.Leave(1)
	}
	return err
}

// encode runs a batch, in pieces where callers have left since it was formed and one of
// what remains would take longer.
func (e *Engine) encode(ctx context.Context, items [][]uint8) ([][]float32, error) {
	e.shared.counts.batches.Observe(float64(len(items)))
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
func (e *Engine) piece(ctx context.Context, items [][]uint8, run runner) ([]float32, error) {
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
func (e *Engine) run(ctx context.Context, pixels []uint8, n int) ([]float32, error) {
	if e.lone == e.narrow || e.batcher.Busy() || !e.wide.TryLock() {
		return e.runNarrow(ctx, pixels, n)
	}
	defer e.wide.Unlock()
	return e.lone.Encode(ctx, pixels, n)
}

// runNarrow takes one's share of the threads, or the device, which has to run so many.
func (e *Engine) runNarrow(ctx context.Context, pixels []uint8, n int) ([]float32, error) {
	if e.shapes == nil {
		return e.narrow.Encode(ctx, pixels, n)
	}
	e.wide.Lock()
	defer e.wide.Unlock()
	return e.On(e.shapes.session(n)).Encode(ctx, pixels, n)
}
