package batch

import "sync"

// cost predicts the time of a batch of n items as a*n + b, fitted by least squares to past batches
// with exponentially decaying weights.
type cost struct {
	mu              sync.Mutex
	w, n, nn, t, nt float64 // weighted sums: of 1, size, size², seconds, size*seconds
}

const (
	// fade is the factor by which earlier observations decay with each new batch: half after 14.
	fade = 0.95
	// jump caps an observation at this multiple of its prediction. Otherwise one batch that the
	// machine stalled could get every later item refused, and no new batch could correct the
	// estimate.
	jump = 2
)

func (c *cost) add(n int, seconds float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := float64(n)
	if c.w > 0 {
		seconds = min(seconds, jump*c.predict(n))
	}
	for _, s := range []struct {
		sum   *float64
		value float64
	}{{&c.w, 1}, {&c.n, x}, {&c.nn, x * x}, {&c.t, seconds}, {&c.nt, x * seconds}} {
		*s.sum = fade**s.sum + s.value
	}
}

// of is the predicted time of a batch of n in seconds, 0 before any observation. If all batches had
// the same size, a larger one is assumed to take proportionally longer.
func (c *cost) of(n int) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.predict(n)
}

// predict is of for callers that hold the lock.
func (c *cost) predict(n int) float64 {
	if c.w == 0 {
		return 0
	}
	mean, size := c.t/c.w, c.n/c.w
	spread := c.nn - c.n*size
	if spread < 1e-9*c.nn {
		return mean * max(1, float64(n)/size)
	}
	// Clamp the slope: a larger batch must not be faster, nor the intercept negative.
	a := min(max(0, (c.nt-size*c.t)/spread), mean/size)
	return mean + a*(float64(n)-size)
}
