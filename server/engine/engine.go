// Package engine runs a model for many concurrent requests: it admits images, decodes them, groups
// them into batches of the size that pays, caches vectors, and monitors its own health. Its images
// come from requests, but it is independent of HTTP.
package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"vicreg/pipeline/encoder"
	"vicreg/server/batch"
)

// Engine is one model in service, with everything that is discarded when another replaces it.
//
// On the host it has two sessions. One gives a batch all threads, which is the fastest way to
// answer a lone request. Under load several batches run concurrently on the other, usually with one
// thread each: batches that share threads keep waiting for the slowest of them, and with decoders
// on the same cores one is always slow.
//
// A device has one session per batch size (see shapes), and they run one at a time. The embedded
// Encoder is the first of them and runs single images.
type Engine struct {
	*encoder.Encoder                  // uses all threads
	narrow           *encoder.Encoder // for concurrent batches; on a device the same as Encoder
	lone             *encoder.Encoder // whichever of the two is faster for few images
	wide             sync.Mutex       // held while using all threads, or the device
	shapes           shapes
	rows             rows

	shared  *Shared
	batcher *batch.Batcher[[]uint8, []float32]
	sizes   []batch.Point // throughput by batch size, as measured at startup
	pool    *pool
	canary  canary
	since   time.Time
	users   sync.WaitGroup // requests that are using it
}

// Use keeps the engine open until done is called, which must happen exactly once.
func (e *Engine) Use() (done func()) {
	e.users.Add(1)
	return e.users.Done
}

// Close waits for its users, then stops what Start began. Work that is unfinished when ctx ends is
// cancelled.
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
	err := e.batcher.Close(ctx) // this also ends the canary's last item
	e.canary.done.Wait()
	<-idle // requests whose items were cut off have yet to answer
	e.pool.close()
	return errors.Join(err, e.Encoder.Close())
}

// Stats are an engine's statistics.
type Stats struct {
	Since      time.Time     // when the engine was started
	Batch      int           // current maximum batch size, by measurement
	Throughput []batch.Point // by batch size, as measured at startup
	Waiting    int           // images admitted but not yet embedded
	CanaryAge  time.Duration // time since the canary last passed
}

// Stats returns the current statistics.
func (e *Engine) Stats() Stats {
	return Stats{Since: e.since, Batch: e.batcher.Size(), Throughput: e.sizes, Waiting: e.batcher.Waiting(), CanaryAge: e.canary.age()}
}

// Room rejects a request before its body is read if even one image would be too late.
func (e *Engine) Room(ctx context.Context) error {
	err := e.batcher.Admit(ctx, 1, e.pool.predict(1))
	if err == nil {
		e.batcher.Leave(1)
	}
	return err
}

// encode runs a batch. It splits it if callers have left since the batch was formed and the
// remaining items finish sooner in several runs than in one.
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

// runner turns n contiguous images into their vectors.
type runner = func(ctx context.Context, pixels []uint8, n int) ([]float32, error)

// piece runs some images of a batch, padded to a batch size that the device has a session for.
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

// run uses all threads while there are few images, and otherwise a worker's share of them. With two
// workers, "few" means one.
func (e *Engine) run(ctx context.Context, pixels []uint8, n int) ([]float32, error) {
	if e.lone == e.narrow || e.batcher.Busy() || !e.wide.TryLock() {
		return e.runNarrow(ctx, pixels, n)
	}
	defer e.wide.Unlock()
	return e.lone.Encode(ctx, pixels, n)
}

// runNarrow uses a worker's share of the threads, or the device, where n must be one of the shapes.
func (e *Engine) runNarrow(ctx context.Context, pixels []uint8, n int) ([]float32, error) {
	if e.shapes == nil {
		return e.narrow.Encode(ctx, pixels, n)
	}
	e.wide.Lock()
	defer e.wide.Unlock()
	return e.On(e.shapes.session(n)).Encode(ctx, pixels, n)
}
