package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
	"vicreg/scripts/bench/peer"
)

// retryEvery is the interval at which a refused client retries. It is the resolution of promised
// and actual times, and the minimum that either counts as.
const retryEvery = 20 * time.Millisecond

// trial is one refusal: what it promised and when the request was accepted.
type trial struct {
	fine, whole time.Duration // Retry-After-Ms and Retry-After
	accepted    time.Duration // since the refusal
	late        bool          // it was then accepted, but not answered before its deadline
}

// retries tests whether Retry-After is accurate, on a server that is idle between trials: it is
// sent requests until the first one is refused, and after that only the refused one, repeatedly.
func (b *bench) retries(ctx context.Context, c *child, capacity float64) error {
	count := 24
	if b.quick {
		count = 2
	}
	var fine, whole []float64
	var errs []error
	late := 0
	for i := range count {
		images := []int{1, 16}[i%2] // larger requests have longer to wait
		t, err := b.retry(ctx, c, capacity, images)
		if err != nil {
			errs = append(errs, fmt.Errorf("refused and asking again: %w", err))
			continue
		}
		whole = append(whole, t.wholeRatio())
		if t.fine > 0 {
			fine = append(fine, t.fineRatio())
		}
		if t.late {
			late++
		}
	}
	if len(fine) < len(whole) {
		errs = append(errs, fmt.Errorf("%d refusals had no Retry-After-Ms", len(whole)-len(fine)))
	}
	b.figures.Add("retry_after_late", float64(late))
	b.sayTruth("Retry-After", "retry_after", whole)
	b.sayTruth("Retry-After-Ms", "retry_after_ms", fine)
	return errors.Join(errs...)
}

func (b *bench) sayTruth(header, key string, ratios []float64) {
	if len(ratios) == 0 {
		return
	}
	slices.Sort(ratios)
	say("%s was off by a factor of %.2f (median of %d trials), at the worst %.2f", header, peer.Percentile(ratios, 0.5), len(ratios), peer.Percentile(ratios, 1))
	b.figures.Add(key+"_ratio", peer.Percentile(ratios, 0.5))
	b.figures.Add(key+"_worst", peer.Percentile(ratios, 1))
}

// fineRatio is the factor by which the time deviates from the milliseconds promised.
func (t trial) fineRatio() float64 { return factor(t.accepted, t.fine) }

// wholeRatio is the same for whole seconds, which are rounded up: anything within that second is
// accurate.
func (t trial) wholeRatio() float64 {
	return factor(t.accepted, min(max(t.accepted, t.whole-time.Second), t.whole))
}

func factor(a, b time.Duration) float64 {
	x, y := float64(max(a, retryEvery)), float64(max(b, retryEvery))
	return max(x/y, y/x)
}

// retry runs one trial with requests of the given number of images.
func (b *bench) retry(ctx context.Context, c *child, capacity float64, images int) (t trial, err error) {
	m, err := tinyMessage(images)
	if err != nil {
		return t, err
	}
	refusal, wait := b.fill(ctx, c, m, capacity/float64(images))
	defer wait()
	if refusal == nil {
		return t, errors.New("nothing was refused")
	}
	begin := refusal.at
	t.fine, t.whole = refusal.fine, refusal.whole
	one := newClient(c.addr)
	defer one.close()
	for next := begin; ; {
		next = next.Add(retryEvery)
		time.Sleep(time.Until(next))
		t.accepted = time.Since(begin)
		r, err := one.do(m, b.numbers.Add(1))
		switch {
		case err != nil:
			return t, err
		case r.status == 200, r.status == 504:
			t.late = r.status == 504
			return t, nil
		case r.status != 429:
			return t, fmt.Errorf("status %d %.200s", r.status, r.body)
		case t.accepted > 10*overloadDeadline:
			return t, fmt.Errorf("still refused after %v", t.accepted)
		}
	}
}

// tinyMessage returns a request of images that take no time to decode, so that it only waits for
// the model.
func tinyMessage(images int) (*message, error) {
	if images == 1 {
		return imageMessage(tiny())
	}
	return formOfImages(tiny(), images)
}

// refusal is the first 429 answer.
type refusal struct {
	at          time.Time
	fine, whole time.Duration
}

// fill sends requests at several times the server's rate until one is refused; nil if none is. wait
// returns once the others are answered.
func (b *bench) fill(ctx context.Context, c *child, m *message, rate float64) (first *refusal, wait func()) {
	most := max(8, int(3*overloadDeadline.Seconds()*rate)) // surely more than fit within the deadline
	found := make(chan *refusal, most)
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	var all sync.WaitGroup
	for range most {
		if ctx.Err() != nil {
			break
		}
		all.Go(func() {
			if r := b.refused(c, m); r != nil {
				found <- r
				enough()
			}
		})
		time.Sleep(time.Duration(float64(time.Second) / (8 * rate)))
	}
	go func() {
		all.Wait()
		close(found)
	}()
	return <-found, all.Wait
}

// refused sends one request on its own connection; nil if it is not refused.
func (b *bench) refused(c *child, m *message) *refusal {
	one := newClient(c.addr)
	defer one.close()
	r, err := one.do(m, b.numbers.Add(1))
	if err != nil || r.status != 429 {
		return nil
	}
	f := &refusal{at: time.Now()}
	f.fine, f.whole = r.promises()
	return f
}
