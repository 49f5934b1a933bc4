package engine

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"vicreg/pipeline/stats"
)

// canary is an image that is sent through the real path now and then: a server that no longer
// reproduces its vector is unhealthy, whatever else it reports.
type canary struct {
	pixels []uint8
	golden []float32
	by     float64                   // tolerated distance from golden, as a fraction of golden's norm
	last   atomic.Pointer[time.Time] // when it last passed, by the monotonic clock; set by begin
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// canaryEvery is the interval between canaries.
const canaryEvery = 10 * time.Second

// begin embeds the canary for the first time and starts sending it periodically.
func (k *canary) begin(e *Engine, log *slog.Logger) error {
	k.pixels = make([]uint8, 3*e.Size()*e.Size())
	for i := range k.pixels {
		k.pixels[i] = uint8(i * 40503 >> 7)
	}
	golden, err := e.Encode(context.Background(), k.pixels, 1)
	if err != nil {
		return err
	}
	k.golden = golden
	if k.by, err = k.spread(e); err != nil {
		return err
	}
	if err := k.send(context.Background(), e); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	k.cancel = cancel
	k.done.Go(func() {
		tick := time.NewTicker(canaryEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if err := k.send(ctx, e); err != nil && ctx.Err() == nil {
					log.Error("the canary failed", "error", err)
				}
			}
		}
	})
	return nil
}

// spread measures how far apart vectors of the same image may be: rounding for most models, more
// for an 8-bit one, whose vectors depend on the rest of the batch. On a device each batch size has
// its own kernels, which round differently.
func (k *canary) spread(e *Engine) (float64, error) {
	other := slices.Clone(k.pixels)
	for i, p := range other {
		other[i] = 255 - p
	}
	sizes, by := []int{2}, 1e-3
	if e.shapes != nil {
		sizes = e.shapes
	}
	for _, n := range sizes {
		y, err := e.piece(context.Background(), slices.Repeat([][]uint8{k.pixels, other}, n)[:n], e.runNarrow)
		if err != nil {
			return 0, err
		}
		by = max(by, 4*distance(y[:len(k.golden)], k.golden))
	}
	return by, nil
}

// distance is the norm of v-w as a fraction of the norm of w.
func distance(v, w []float32) float64 {
	if len(v) != len(w) {
		return math.Inf(1)
	}
	difference := make([]float32, len(v))
	for i := range v {
		difference[i] = v[i] - w[i]
	}
	return stats.Norm(difference) / max(stats.Norm(w), math.SmallestNonzeroFloat32)
}

// send embeds the canary along with other items and compares its vector.
func (k *canary) send(ctx context.Context, e *Engine) error {
	result, err := e.batcher.Always(ctx, k.pixels)
	if err == nil {
		err = result.Err
	}
	if err != nil {
		return err
	}
	if d := distance(result.Value, k.golden); !(d <= k.by) {
		return fmt.Errorf("the canary's vector differs from that at startup by %.3g of its length, more than %.3g", d, k.by)
	}
	now := time.Now()
	k.last.Store(&now)
	return nil
}

// stop ends the sending; done is released when the last canary has returned.
func (k *canary) stop() {
	if k.cancel != nil {
		k.cancel()
	}
}

// age is the time since the canary last passed. The monotonic clock measures it: if the machine's
// clock is set back or forward, that neither hides a model that hangs nor makes a good one look so.
func (k *canary) age() time.Duration { return time.Since(*k.last.Load()) }
