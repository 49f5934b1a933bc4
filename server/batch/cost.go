package batch

import "sync"

// cost predicts the time of a batch of n items as a*n + b, by least squares over
// the batches so far, of which old ones count less and less.
type cost struct {
	mu              sync.Mutex
	w, n, nn, t, nt float64 // sums of weights, sizes, squares, seconds, products
}

const (
	// fade is the weight that what was seen keeps with each new batch: half after 14.
	fade = 0.95
	// jump is how many times longer than predicted a batch may count at the most. One
	// that the machine held up must not make all be refused that would show better.
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

// of is the predicted time of a batch of n in seconds, 0 before any was seen. Where
// all batches had one size, a larger one is taken to need as long an item.
func (c *cost) of(n int) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.predict(n)
}

// predict is of for whoever holds the lock.
func (c *cost) predict(n int) float64 {
	if c.w == 0 {
		return 0
	}
	mean, size := c.t/c.w, c.n/c.w
	spread := c.nn - c.n*size
	if spread < 1e-9*c.nn {
		return mean * max(1, float64(n)/size)
	}
	// Neither may a larger batch take less, nor one of no items less than nothing.
	a := min(max(0, (c.nt-size*c.t)/spread), mean/size)
	return mean + a*(float64(n)-size)
}
