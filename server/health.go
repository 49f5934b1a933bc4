package server

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
)

// canary is an image that goes through the real path now and then: a server that
// no longer gives its vector is not well, whatever else it says.
type canary struct {
	pixels []uint8
	golden []float32
	last   atomic.Int64 // when it was last right, Unix nanoseconds
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// How often the canary is sent, and how long it may have been silent.
const (
	canaryEvery = 10 * time.Second
	canaryStale = time.Minute
)

// begin embeds the canary for the first time and starts sending it.
func (k *canary) begin(e *engine, log *slog.Logger) error {
	k.pixels = make([]uint8, 3*e.Size()*e.Size())
	for i := range k.pixels {
		k.pixels[i] = uint8(i * 40503 >> 7)
	}
	golden, err := e.Encode(context.Background(), k.pixels, 1)
	if err != nil {
		return err
	}
	k.golden = golden
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

// send embeds the canary among other items and compares its vector.
func (k *canary) send(ctx context.Context, e *engine) error {
	result, err := e.batcher.Always(ctx, k.pixels)
	if err == nil {
		err = result.Err
	}
	if err != nil {
		return err
	}
	for i, v := range result.Value {
		if d := math.Abs(float64(v - k.golden[i])); !(d <= 1e-4*(1+math.Abs(float64(k.golden[i])))) {
			return fmt.Errorf("number %d of the canary's vector is %v, and was %v at the start", i, v, k.golden[i])
		}
	}
	k.last.Store(time.Now().UnixNano())
	return nil
}

// stop sends no more; done says when the last one is back.
func (k *canary) stop() {
	if k.cancel != nil {
		k.cancel()
	}
}

func (k *canary) age() time.Duration { return time.Since(time.Unix(0, k.last.Load())) }

// livez tells whether the process does its work. A full queue is no reason to
// restart it: the canary has a place of its own at its end. Nor is a model that is
// still being loaded, which readyz tells of.
func (s *Server) livez(c echo.Context) error {
	e := s.current()
	if e == nil {
		return c.JSON(http.StatusOK, map[string]any{"alive": true})
	}
	age := e.canary.age()
	status := http.StatusOK
	if age > canaryStale {
		status = http.StatusServiceUnavailable
	}
	return c.JSON(status, map[string]any{"alive": status == http.StatusOK, "canary_age_seconds": age.Seconds()})
}

// readyz tells whether new requests are welcome.
func (s *Server) readyz(c echo.Context) error {
	switch {
	case s.stopping.Load():
		return errStopping
	case s.current() == nil:
		return errLoading
	}
	return c.JSON(http.StatusOK, map[string]any{"ready": true})
}
