package items

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"vicreg/server/batch"
	"vicreg/server/engine"
	"vicreg/server/problem"
	"vicreg/server/request"
)

// turns embed the images of a rebuild, a few at a time, between the requests of those who
// ask the server meanwhile. What is too slow for the deadline is tried with half as many
// images, down to one, which has longer; no image holds up the others for good.
type turns struct {
	m        Model
	deadline time.Duration // for some images at once
	log      *slog.Logger
	retries  *prometheus.CounterVec // by reason

	atOnce int       // images that are taken at a time now
	good   int       // times in a row that all went well
	silent time.Time // when to log the next retry
	since  int       // retries since the last that was logged
}

// turnsAtOnce is how many images a rebuild has in the queue at the most: few, for those
// who ask the server meanwhile. turnsUntilMore is after how many turns without trouble
// it tries more again. turnsPatience is how much longer than the deadline one image may
// take: nobody waits for its answer. turnsSilence is the time between two lines of the
// log about retries.
const (
	turnsAtOnce    = 8
	turnsUntilMore = 8
	turnsPatience  = 10
	turnsSilence   = time.Minute
)

func newTurns(m Model, deadline time.Duration, log *slog.Logger, retries *prometheus.CounterVec) *turns {
	return &turns{m: m, deadline: deadline, log: log, retries: retries, atOnce: turnsAtOnce}
}

// embed makes the vectors of images and their thumbnails, and waits for its turn when the
// queue is full. An image that takes too long all the same fails alone. An error is that
// of ctx, or the model's.
func (t *turns) embed(ctx context.Context, images []request.Image) (*engine.Result, error) {
	all := &engine.Result{}
	for len(images) > 0 {
		n := min(t.atOnce, len(images))
		made, err := t.try(ctx, images[:n], t.deadline)
		if err != nil {
			made, err = t.again(ctx, images[:n], err)
		}
		if err != nil {
			return nil, err
		}
		if made == nil { // with fewer of them
			continue
		}
		all.Rows, all.Thumbs = append(all.Rows, made.Rows...), append(all.Thumbs, made.Thumbs...)
		images = images[n:]
		t.went()
	}
	return all, nil
}

func (t *turns) try(ctx context.Context, images []request.Image, limit time.Duration) (*engine.Result, error) {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return t.m.Embed(limited, images, true)
}

// went counts a turn without trouble.
func (t *turns) went() {
	if t.good++; t.good >= turnsUntilMore {
		t.atOnce, t.good = min(2*t.atOnce, turnsAtOnce), 0
	}
}

// again does what follows the error of a turn. The result is nil where the images are to
// be tried again, as many as are taken at a time now.
func (t *turns) again(ctx context.Context, images []request.Image, failed error) (*engine.Result, error) {
	var full *batch.Full
	busy := errors.As(failed, &full)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case !busy && !errors.Is(failed, context.DeadlineExceeded):
		return nil, failed
	}
	t.atOnce, t.good = max(len(images)/2, 1), 0
	switch {
	case busy:
		t.retry("busy", failed, len(images))
		return nil, pause(ctx, max(full.After, 10*time.Millisecond))
	case len(images) > 1:
		t.retry("late", failed, len(images))
		return nil, nil
	}
	return t.alone(ctx, images, failed)
}

// alone gives one image a longer deadline, its last.
func (t *turns) alone(ctx context.Context, images []request.Image, failed error) (*engine.Result, error) {
	limit := turnsPatience * t.deadline
	t.retry("late", failed, len(images))
	made, err := t.try(ctx, images, limit)
	var full *batch.Full
	switch {
	case err == nil:
		return made, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.As(err, &full): // it had no try
		t.retry("busy", err, len(images))
		return nil, pause(ctx, max(full.After, 10*time.Millisecond))
	case errors.Is(err, context.DeadlineExceeded):
		late := problem.Errorf(problem.Late, "it alone took longer than %v, %d times the deadline of a request", limit, turnsPatience)
		return &engine.Result{Rows: []engine.Outcome{{Err: late}}, Thumbs: [][]byte{nil}}, nil
	}
	return nil, err
}

// retry counts what is tried again, and logs it now and then: a rebuild beside many
// requests has thousands of retries.
func (t *turns) retry(reason string, why error, images int) {
	t.retries.WithLabelValues(reason).Inc()
	if t.since++; time.Now().Before(t.silent) {
		return
	}
	t.log.Warn("the rebuild of the index tries images again", "reason", reason, "error", why, "images", images, "retries", t.since)
	t.silent, t.since = time.Now().Add(turnsSilence), 0
}

// pause waits, and returns the error of ctx when that ends first.
func pause(ctx context.Context, wait time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(wait):
		return nil
	}
}
