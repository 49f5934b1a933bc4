package indexing

import (
	"context"
	"errors"
	"testing"
)

func TestSideBySide(t *testing.T) {
	want, sum := 0, 0
	err := sideBySide(t.Context(), func(_ context.Context, send func(int) error) error {
		for i := range 3000 {
			want += i
			if err := send(i); err != nil {
				return err
			}
		}
		return nil
	}, func(_ context.Context, batch []int) error {
		if len(batch) > batchItems {
			t.Errorf("a batch of %d", len(batch))
		}
		for _, i := range batch {
			sum += i
		}
		return nil
	})
	if err != nil || sum != want {
		t.Errorf("sum %d, want %d; %v", sum, want, err)
	}
}

// An error on either side ends the other; what was produced before cancellation is consumed.
func TestSideBySideEnds(t *testing.T) {
	bad := errors.New("bad")
	err := sideBySide(t.Context(), func(_ context.Context, send func(int) error) error {
		for {
			if err := send(1); err != nil {
				return err
			}
		}
	}, func(context.Context, []int) error { return bad })
	if !errors.Is(err, bad) {
		t.Errorf("taker's error: %v", err)
	}
	taken := 0
	ctx, stop := context.WithCancel(t.Context())
	err = sideBySide(ctx, func(ctx context.Context, send func(int) error) error {
		err := send(1)
		stop()
		return errors.Join(err, ctx.Err())
	}, func(ctx context.Context, batch []int) error {
		taken += len(batch)
		return ctx.Err()
	})
	if !errors.Is(err, context.Canceled) || taken != 1 {
		t.Errorf("stopped: %d taken, %v", taken, err)
	}
}
