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

// turns embeds the images of a rebuild in small batches, so that live requests get their share of
// the queue in between. A batch that misses its deadline is retried at half the size, down to a
// single image, which gets a longer deadline; no image can stall the rebuild.
type turns struct {
	m        Model
	deadline time.Duration // for one batch
	log      *slog.Logger
	retries  *prometheus.CounterVec // by reason

	atOnce int       // current number of images per batch
	good   int       // consecutive successful batches
	silent time.Time // no retry is logged before this time
	since  int       // retries since the last one logged
}

// turnsAtOnce is the maximum number of images that a rebuild has in the queue, small for the sake
// of live requests. turnsUntilMore is the number of consecutive successful batches after which the
// batch size grows again. turnsPatience is the factor by which a single image may exceed the
// deadline: no client waits for it. turnsSilence is the minimum interval between log lines about
// retries.
const (
	turnsAtOnce    = 8
	turnsUntilMore = 8
	turnsPatience  = 10
	turnsSilence   = time.Minute
)

func newTurns(m Model, deadline time.Duration, log *slog.Logger, retries *prometheus.CounterVec) *turns {
	return &turns{m: m, deadline: deadline, log: log, retries: retries, atOnce: turnsAtOnce}
}

// embed makes the vectors and thumbnails of images, and waits while the queue is full. An image
// that still takes too long fails alone. The error comes from ctx or the model.
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
		if made == nil { // retry with the current batch size
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

// went counts a successful batch.
func (t *turns) went() {
	if t.good++; t.good >= turnsUntilMore {
		t.atOnce, t.good = min(2*t.atOnce, turnsAtOnce), 0
	}
}

// again handles the error of a batch. A nil result means that the images are to be retried, at the
// current batch size.
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

// alone gives a single image a longer deadline, as its last try.
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
	case errors.As(err, &full): // it was never tried
		t.retry("busy", err, len(images))
		return nil, pause(ctx, max(full.After, 10*time.Millisecond))
	case errors.Is(err, context.DeadlineExceeded):
		late := problem.Errorf(problem.Late, "it alone took longer than %v, %d times the request deadline", limit, turnsPatience)
		return &engine.Result{Rows: []engine.Outcome{{Err: late}}, Thumbs: [][]byte{nil}}, nil
	}
	return nil, err
}

// retry counts a retry, and logs one now and then: a rebuild on a busy server has thousands.
func (t *turns) retry(reason string, why error, images int) {
	t.retries.WithLabelValues(reason).Inc()
	if t.since++; time.Now().Before(t.silent) {
		return
	}
	t.log.Warn("the index rebuild is retrying images", "reason", reason, "error", why, "images", images, "retries", t.since)
	t.silent, t.since = time.Now().Add(turnsSilence), 0
}

// pause waits, or returns ctx's error if that ends first.
func pause(ctx context.Context, wait time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(wait):
		return nil
	}
}
