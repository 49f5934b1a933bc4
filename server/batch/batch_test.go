package batch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// machine is a fake model whose batch of n takes n+1 ms. It records its batches.
type machine struct {
	mu      sync.Mutex
	batches [][]int
}

func (m *machine) run(ctx context.Context, items []int) ([]string, error) {
	m.mu.Lock()
	m.batches = append(m.batches, slices.Clone(items))
	m.mu.Unlock()
	select {
	case <-time.After(time.Duration(len(items)+1) * time.Millisecond):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	out := make([]string, len(items))
	for i, x := range items {
		switch x {
		case -1:
			return nil, errors.New("poison")
		case -2:
			panic("boom")
		}
		out[i] = fmt.Sprint(x)
	}
	return out, nil
}

// inBubble runs f on a batcher in a synctest bubble, with fake time, and closes it.
func inBubble(t *testing.T, c Config, f func(t *testing.T, b *Batcher[int, string], m *machine)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := new(machine)
		b := New(m.run, c)
		f(t, b, m)
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if n := b.Waiting(); n != 0 {
			t.Errorf("%d items left", n)
		}
	})
}

// later runs Do in a goroutine; wait returns its results.
func later(ctx context.Context, b *Batcher[int, string], items ...int) (wait func() ([]Result[string], error)) {
	var results []Result[string]
	var err error
	done := make(chan struct{})
	go func() {
		results, err = b.Do(ctx, items...)
		close(done)
	}()
	return func() ([]Result[string], error) {
		<-done
		return results, err
	}
}

var standard = Config{Workers: 1, Max: 4, Queue: 100}

func TestLoneItemGoesAtOnce(t *testing.T) {
	inBubble(t, standard, func(t *testing.T, b *Batcher[int, string], _ *machine) {
		r, err := b.Do(t.Context(), 7)
		if err != nil || r[0].Value != "7" || r[0].Err != nil || r[0].Waited != 0 || r[0].Took != 2*time.Millisecond || r[0].Size != 1 {
			t.Errorf("got %+v, %v", r, err)
		}
	})
}

// Items that arrive while the worker is busy form one batch, up to Max, in order.
func TestWaitingItemsGoTogether(t *testing.T) {
	inBubble(t, standard, func(t *testing.T, b *Batcher[int, string], m *machine) {
		first := later(t.Context(), b, 0)
		synctest.Wait()
		var rest []func() ([]Result[string], error)
		for i := 1; i <= 6; i++ {
			rest = append(rest, later(t.Context(), b, i))
			synctest.Wait()
		}
		first()
		for i, wait := range rest {
			r, err := wait()
			if err != nil || r[0].Value != fmt.Sprint(i+1) {
				t.Errorf("item %d: %+v, %v", i+1, r, err)
			}
		}
		if got := fmt.Sprint(m.batches); got != "[[0] [1 2 3 4] [5 6]]" {
			t.Errorf("batches %s", got)
		}
	})
}

func TestResultsAreInTheOrderOfTheItems(t *testing.T) {
	inBubble(t, Config{Workers: 3, Max: 2, Queue: 100}, func(t *testing.T, b *Batcher[int, string], _ *machine) {
		items := []int{5, 3, 9, 1, 7, 2, 8}
		r, err := b.Do(t.Context(), items...)
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range items {
			if r[i].Value != fmt.Sprint(x) || r[i].Err != nil {
				t.Errorf("item %d: %+v", i, r[i])
			}
		}
	})
}

func TestBadItemsFailAlone(t *testing.T) {
	for bad, want := range map[int]string{-1: "poison", -2: "panicked: boom"} {
		var panics atomic.Int64
		config := standard
		config.Panicked = func() { panics.Add(1) }
		inBubble(t, config, func(t *testing.T, b *Batcher[int, string], m *machine) {
			r, err := b.Do(t.Context(), 1, bad, 3)
			if err != nil {
				t.Fatal(err)
			}
			if r[0].Value != "1" || r[2].Value != "3" || r[0].Err != nil || r[2].Err != nil {
				t.Errorf("the good ones: %+v", r)
			}
			if r[1].Err == nil || !strings.Contains(r[1].Err.Error(), want) {
				t.Errorf("the bad one: %v", r[1].Err)
			}
			if got := panics.Load(); (got > 0) != (bad == -2) {
				t.Errorf("%d panics counted", got)
			}
			if r, err := b.Do(t.Context(), 4); err != nil || r[0].Value != "4" {
				t.Errorf("afterwards: %+v, %v", r, err)
			}
		})
	}
}

// Cancelling a caller drops its waiting items, but not the ones already running.
func TestCallersWhoLeave(t *testing.T) {
	inBubble(t, standard, func(t *testing.T, b *Batcher[int, string], m *machine) {
		running, leave := context.WithCancel(t.Context())
		first := later(running, b, 0)
		synctest.Wait()
		waiting, leaveToo := context.WithCancel(t.Context())
		gone, stays := later(waiting, b, 1), later(t.Context(), b, 2)
		synctest.Wait()
		leave()
		leaveToo()
		if r, err := first(); err != nil || r[0].Err != nil {
			t.Errorf("running: %+v, %v", r, err)
		}
		if r, err := gone(); err != nil || !errors.Is(r[0].Err, context.Canceled) {
			t.Errorf("gone: %+v, %v", r, err)
		}
		if r, err := stays(); err != nil || r[0].Value != "2" {
			t.Errorf("stays: %+v, %v", r, err)
		}
		if got := fmt.Sprint(m.batches); got != "[[0] [2]]" {
			t.Errorf("batches %s", got)
		}
		if _, err := b.Do(waiting, 3); !errors.Is(err, context.Canceled) {
			t.Errorf("came after he left: %v", err)
		}
	})
}

// When a failed batch is retried item by item, a caller that has gone gets an error and no result.
func TestLeavingWhileABatchIsTriedAgain(t *testing.T) {
	inBubble(t, standard, func(t *testing.T, b *Batcher[int, string], m *machine) {
		first := later(t.Context(), b, 0)
		synctest.Wait()
		ctx, leave := context.WithCancel(t.Context())
		bad, good, left := later(t.Context(), b, -1), later(t.Context(), b, 5), later(ctx, b, 6)
		last := later(t.Context(), b, 7)
		synctest.Wait()
		first()
		synctest.Wait() // the batch is running
		leave()
		if r, err := bad(); err != nil || r[0].Err == nil {
			t.Errorf("the bad one: %+v, %v", r, err)
		}
		if r, err := good(); err != nil || r[0].Value != "5" {
			t.Errorf("a good one: %+v, %v", r, err)
		}
		if r, err := left(); err != nil || !errors.Is(r[0].Err, context.Canceled) {
			t.Errorf("who left: %+v, %v", r, err)
		}
		if r, err := last(); err != nil || r[0].Value != "7" {
			t.Errorf("the last: %+v, %v", r, err)
		}
	})
}

func TestFullQueue(t *testing.T) {
	inBubble(t, Config{Workers: 1, Max: 2, Queue: 3}, func(t *testing.T, b *Batcher[int, string], _ *machine) {
		if _, err := b.Do(t.Context(), 1, 2); err != nil { // the batcher now knows that a batch of 2 takes 3 ms
			t.Fatal(err)
		}
		first := later(t.Context(), b, 1, 2)
		synctest.Wait()
		var full *Full
		if _, err := b.Do(t.Context(), 3, 4); !errors.As(err, &full) || full.After != 3*time.Millisecond {
			t.Errorf("two more: %v", err)
		}
		if r, err := b.Do(t.Context(), 3); err != nil || r[0].Value != "3" {
			t.Errorf("one more: %+v, %v", r, err)
		}
		again := later(t.Context(), b, 1, 2, 3)
		synctest.Wait()
		if r, err := b.Always(t.Context(), 9); err != nil || r.Value != "9" {
			t.Errorf("always: %+v, %v", r, err)
		}
		again()
		first()
	})
}

// Items that would miss their deadline are refused at once, with the time they lack.
func TestAdmissionByPredictedWait(t *testing.T) {
	inBubble(t, standard, func(t *testing.T, b *Batcher[int, string], m *machine) {
		for _, n := range []int{1, 2, 4, 4} { // n+1 ms each
			if _, err := b.Do(t.Context(), make([]int, n)...); err != nil {
				t.Fatal(err)
			}
		}
		ran := len(m.batches)
		first := later(t.Context(), b, 1, 2, 3, 4)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Millisecond)
		defer cancel()
		var full *Full
		if _, err := b.Do(ctx, 5, 6, 7, 8); !errors.As(err, &full) || full.After.Round(time.Microsecond) != 3600*time.Microsecond {
			t.Errorf("8 ms for 2 batches of 5 ms: %v", err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 13*time.Millisecond)
		defer cancel()
		if r, err := b.Do(ctx, 5, 6, 7, 8); err != nil || r[3].Value != "8" {
			t.Errorf("13 ms for them: %+v, %v", r, err)
		}
		first()
		if got := len(m.batches) - ran; got != 2 {
			t.Errorf("%d batches ran, want 2", got)
		}
	})
}

func TestLimitOfABatch(t *testing.T) {
	c := standard
	c.Limit = 3 * time.Millisecond
	inBubble(t, c, func(t *testing.T, b *Batcher[int, string], m *machine) {
		r, err := b.Do(t.Context(), 1, 2, 3, 4) // 5 ms as one batch, 2 ms each alone
		if err != nil {
			t.Fatal(err)
		}
		for i := range r {
			if !errors.Is(r[i].Err, context.DeadlineExceeded) {
				t.Errorf("item %d: %+v", i, r[i])
			}
		}
		if len(m.batches) != 1 {
			t.Errorf("tried again: %v", m.batches)
		}
		if r, err := b.Do(t.Context(), 4); err != nil || r[0].Value != "4" {
			t.Errorf("alone: %+v, %v", r, err)
		}
	})
}

// Places are reserved before the items exist, and unused ones are released.
func TestAdmitThenRun(t *testing.T) {
	inBubble(t, Config{Workers: 1, Max: 4, Queue: 4}, func(t *testing.T, b *Batcher[int, string], _ *machine) {
		if err := b.Admit(t.Context(), 3, 0); err != nil {
			t.Fatal(err)
		}
		var full *Full
		if err := b.Admit(t.Context(), 2, 0); !errors.As(err, &full) {
			t.Errorf("5 of 4 places: %v", err)
		}
		b.Leave(1)
		if r, err := b.Run(t.Context(), 1, 2); err != nil || r[1].Value != "2" {
			t.Errorf("got %+v, %v", r, err)
		}
		if err := b.Admit(t.Context(), 1, 0); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if err := b.Admit(ctx, 1, time.Second); !errors.As(err, &full) || full.After < 984*time.Millisecond {
			t.Errorf("ready after the deadline: %v", err)
		}
		b.Leave(1)
	})
}

// Under load the size grows while that pays, and shrinks when it no longer does.
func TestSizeIsCheckedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := time.Duration(10) // fixed cost of a batch in milliseconds, plus 1 per item
		b := New(func(_ context.Context, items []int) ([]int, error) {
			time.Sleep((base + time.Duration(len(items))) * time.Millisecond)
			return items, nil
		}, Config{Workers: 1, Max: 64, Queue: 1000, Learnt: []Point{{1, 1000}}})
		load := func(n int) {
			for range n {
				b.Do(t.Context(), make([]int, 256)...)
			}
		}
		if b.Size() != 1 {
			t.Errorf("begins with %d", b.Size())
		}
		load(100)
		if b.Size() != 64 { // ms per item: 6 at 2, 1.31 at 32, 1.16 at 64
			t.Errorf("a batch costs 10 and 1 an item: size %d, want 64", b.Size())
		}
		base = 0
		load(400)
		if b.Size() != 1 {
			t.Errorf("a batch costs 1 an item: size %d, want 1", b.Size())
		}
		if err := b.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// With few batch sizes, waiting items are run together as far as a fuller batch pays, and trials
// use the adjacent sizes.
func TestFewSizes(t *testing.T) {
	sizes, fixed := []int{1, 8, 32}, time.Duration(10)
	synctest.Test(t, func(t *testing.T) {
		var ran []int
		run := func(_ context.Context, items []int) ([]string, error) {
			ran = append(ran, len(items))
			i, _ := slices.BinarySearch(sizes, len(items))
			time.Sleep((fixed + time.Duration(sizes[i])) * time.Millisecond)
			return make([]string, len(items)), nil
		}
		learnt := []Point{{1, 1000. / 11}, {8, 8000. / 18}, {32, 32000. / 42}}
		b := New(run, Config{Workers: 1, Max: 32, Queue: 1000, Sizes: sizes, Learnt: learnt})
		if b.Size() != 32 {
			t.Errorf("begins with %d", b.Size())
		}
		waiting := func(n int) string { // n items wait while one is running
			ran = nil
			first := later(t.Context(), b, 0)
			synctest.Wait()
			rest := later(t.Context(), b, make([]int, n)...)
			synctest.Wait()
			first()
			rest()
			return fmt.Sprint(ran)
		}
		for n, want := range map[int]string{1: "[1 1]", 2: "[1 2]", 8: "[1 8]", 9: "[1 8 1]", 10: "[1 8 2]", 16: "[1 8 8]", 17: "[1 17]", 31: "[1 31]", 35: "[1 32 3]"} {
			if got := waiting(n); got != want {
				t.Errorf("%d wait: batches %s, want %s", n, got, want)
			}
		}
		fixed = 0
		load := func(n int) {
			for range n {
				b.Do(t.Context(), make([]int, 256)...)
			}
		}
		load(400)
		if b.Size() != 1 {
			t.Errorf("an item costs the same in all batches: size %d, want 1", b.Size())
		}
		fixed = 100
		load(400)
		if b.Size() != 32 {
			t.Errorf("a batch costs 100 and 1 an item: size %d, want 32", b.Size())
		}
		if err := b.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Sizes that were not measured are assumed to cost as much per item as the last one that was.
func TestCutOfUntriedSizes(t *testing.T) {
	c := newCutter([]int{1, 4, 12}, []Point{{1, 10}, {4, 10}})
	if got := fmt.Sprint(c[1:]); got != "[1 1 1 4 4 4 4 4 4 4 4 12]" {
		t.Errorf("where no batch pays: %s", got)
	}
	c = newCutter([]int{1, 4, 12}, []Point{{1, 10}, {4, 40}})
	if got := fmt.Sprint(c[1:]); got != "[1 2 3 4 4 4 4 4 9 10 11 12]" {
		t.Errorf("where batches of 4 pay: %s", got)
	}
}

func TestCloseDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(machine)
		b := New(m.run, standard)
		all := later(t.Context(), b, 1, 2, 3, 4, 5, 6)
		synctest.Wait()
		if err := b.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := b.Do(t.Context(), 7); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		r, err := all()
		if err != nil || r[5].Value != "6" {
			t.Errorf("got %+v, %v", r, err)
		}
		if err := b.Close(t.Context()); err != nil {
			t.Errorf("once more: %v", err)
		}
	})
}

// Close with an expired context is no error if nothing is left to do.
func TestCloseOfNothing(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 50 { // select may choose either case
		synctest.Test(t, func(t *testing.T) {
			b := New(new(machine).run, standard)
			synctest.Wait()
			if err := b.Close(ended); err != nil {
				t.Error(err)
			}
		})
	}
}

// A drain that takes too long is cut off: nothing is running when Close returns.
func TestCloseCutsOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(machine)
		b := New(m.run, standard)
		all := later(t.Context(), b, 1, 2, 3, 4, 5, 6)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := b.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("drained in 1 ms: %v", err)
		}
		r, err := all()
		if err != nil || !errors.Is(r[0].Err, context.Canceled) || !errors.Is(r[5].Err, context.Canceled) {
			t.Errorf("got %+v, %v", r, err)
		}
		if len(m.batches) != 1 {
			t.Errorf("ran on: %v", m.batches)
		}
	})
}

func TestWrongNumberOfResults(t *testing.T) {
	b := New(func(context.Context, []int) ([]int, error) { return nil, nil }, standard)
	defer b.Close(t.Context())
	if r, err := b.Do(t.Context(), 1); err != nil || r[0].Err == nil {
		t.Errorf("got %+v, %v", r, err)
	}
}

// Many concurrent callers, for the race detector: each gets its own results.
func TestManyCallers(t *testing.T) {
	b := New(func(_ context.Context, items []int) ([]int, error) {
		out := make([]int, len(items))
		for i, x := range items {
			out[i] = 2 * x
		}
		return out, nil
	}, Config{Workers: 3, Max: 8, Queue: 10_000})
	var wrong atomic.Int64
	var callers sync.WaitGroup
	for i := range 200 {
		callers.Go(func() {
			for j := range 20 {
				if r, err := b.Do(context.Background(), i, j); err != nil || r[0].Value != 2*i || r[1].Value != 2*j {
					wrong.Add(1)
				}
			}
		})
	}
	callers.Wait()
	if n := wrong.Load(); n > 0 {
		t.Errorf("%d wrong", n)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCost(t *testing.T) {
	var c cost
	if c.of(3) != 0 {
		t.Error("knows before it has seen")
	}
	c.add(4, 6)
	if got := [2]float64{c.of(2), c.of(8)}; got != [2]float64{6, 12} {
		t.Errorf("only a batch of 4 in 6 s seen: %v for 2 and 8, want 6 and 12", got)
	}
	for range 100 {
		c.add(2, 5)
		c.add(8, 14)
	}
	if got := c.of(4); got < 7.99 || got > 8.01 {
		t.Errorf("2+1.5n: got %v at 4, want 8", got)
	}
	var steep cost // 8 items take more than twice as long as 4
	for range 50 {
		steep.add(4, 0.08)
	}
	steep.add(8, 0.205)
	if got := steep.of(1); got < 0.02 {
		t.Errorf("one item of 4 that take 0.08 s: %v", got)
	}
	var held cost
	held.add(1, 1)
	held.add(1, 100)
	if got := held.of(1); got > 2 {
		t.Errorf("one batch that was held up makes all predictions %v", got)
	}
	for range 50 {
		held.add(1, 10)
	}
	if got := held.of(1); got < 9 {
		t.Errorf("batches that stay slow make it %v, want 10", got)
	}
	var falling cost
	falling.add(1, 4)
	falling.add(2, 2)
	if got := falling.of(100); got < 2 || got > 4 {
		t.Errorf("larger batches took less: %v at 100", got)
	}
}

func TestBest(t *testing.T) {
	// A batch of n takes 10+n ms up to 8, and beyond that as long per item as at 8.
	took := func(n int) time.Duration {
		if n <= 8 {
			return time.Duration(10+n) * time.Millisecond
		}
		return time.Duration(n) * 18 * time.Millisecond / 8
	}
	best, seen, err := Best(Powers(64), func(n int) (time.Duration, error) { return took(n), nil })
	if err != nil || best != 8 || len(seen) != 6 || seen[4].Size != 16 {
		t.Errorf("got %d, %v, %v", best, seen, err)
	}
	if best, _, _ := Best(Powers(64), func(n int) (time.Duration, error) { return time.Duration(n) * time.Millisecond, nil }); best != 1 {
		t.Errorf("where batching does not pay: %d", best)
	}
	if best, _, _ := Best(Powers(4), func(n int) (time.Duration, error) { return time.Millisecond, nil }); best != 4 {
		t.Errorf("up to 4: %d", best)
	}
	if _, _, err := Best(Powers(4), func(n int) (time.Duration, error) { return 0, errors.New("no") }); err == nil {
		t.Error("an error is lost")
	}
}
