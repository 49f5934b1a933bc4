package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"vicreg/scripts/bench/peer"
	"vicreg/server/index"
)

// ingest compares writes, each durable when it returns, with those of raw SQLite, and measures
// searches during writes.
func ingest(ctx context.Context, b *bench) error {
	if err := b.need(ctx, b.small()); err != nil {
		return err
	}
	return errors.Join(b.writes(ctx), b.searchesDuring(ctx))
}

// feed supplies new items with real vectors, reusing the vectors cyclically.
type feed struct {
	vectors [][]float32
	next    atomic.Int64
}

func (b *bench) feed() (*feed, error) {
	f := &feed{}
	return f, b.vectors.read(b.vectors.base, b.small()/5, func(i int, x []float32) error {
		f.vectors = append(f.vectors, slices.Clone(x))
		return nil
	})
}

func (f *feed) take(n int) []index.Item {
	items := make([]index.Item, n)
	first := int(f.next.Add(int64(n))) - n
	for i := range items {
		items[i] = item(first+i, f.vectors[(first+i)%len(f.vectors)])
	}
	return items
}

// writes compares calls of one item and of callSize items.
func (b *bench) writes(ctx context.Context) error {
	feed, err := b.feed()
	if err != nil {
		return err
	}
	ours, err := b.create(ctx, filepath.Join(b.work, "written.index"))
	if err != nil {
		return err
	}
	defer ours.Close()
	theirs, err := openRaw(filepath.Join(b.work, "written-raw.index"))
	if err != nil {
		return err
	}
	defer theirs.close()
	upsert := func(items []index.Item) error {
		_, err := ours.Upsert(ctx, index.DefaultNamespace, items...)
		return err
	}
	for _, c := range []struct {
		name string
		size int
	}{{"single", 1}, {"bulk", callSize}} {
		var rates [2][]float64
		for range b.rounds {
			for i, write := range []func([]index.Item) error{upsert, theirs.write} {
				r, err := b.written(feed, c.size, write)
				if err != nil {
					return err
				}
				rates[i] = append(rates[i], r)
			}
		}
		over := paired(rates[0], rates[1])
		say("%4d items a call: %.0f items/s, raw SQLite %.0f, ours over it %.2f", c.size, peer.Median(rates[0]), peer.Median(rates[1]), over)
		b.figures.Add("ingest_"+c.name, peer.Median(rates[0]))
		b.figures.Add("ingest_"+c.name+"_ratio", over)
	}
	return b.crowd(feed, upsert)
}

// written writes for a turn and returns the items per second.
func (b *bench) written(feed *feed, size int, write func([]index.Item) error) (float64, error) {
	count, spent := 0, time.Duration(0)
	for spent < b.turn/2 {
		items := feed.take(size) // not part of either side's work
		begin := time.Now()
		if err := write(items); err != nil {
			return 0, err
		}
		count, spent = count+size, spent+time.Since(begin)
	}
	return float64(count) / spent.Seconds(), nil
}

// crowd has many concurrent callers write one item per call: they share the cost of syncing.
func (b *bench) crowd(feed *feed, upsert func([]index.Item) error) error {
	const callers = 16
	var count atomic.Int64
	var wait sync.WaitGroup
	errs := make([]error, callers)
	begin := time.Now()
	for i := range callers {
		wait.Go(func() {
			for time.Since(begin) < b.turn && errs[i] == nil {
				errs[i] = upsert(feed.take(1))
				count.Add(1)
			}
		})
	}
	wait.Wait()
	rate := float64(count.Load()) / time.Since(begin).Seconds()
	say("   1 item a call from %d callers: %.0f items/s", callers, rate)
	b.figures.Add("ingest_crowd", rate)
	return errors.Join(errs...)
}

// searchesDuring compares the latencies of searches while items are written with those without
// writes. Both kinds of writes grow the set; turns of either kind alternate closely, so that it
// grows for both alike.
func (b *bench) searchesDuring(ctx context.Context) error {
	f, err := b.create(ctx, filepath.Join(b.work, "during.index"))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := b.fill(ctx, f, b.small()); err != nil {
		return err
	}
	asked, err := b.vectors.queries()
	if err != nil {
		return err
	}
	feed, err := b.feed()
	if err != nil {
		return err
	}
	feed.next.Store(int64(b.small()))
	for _, size := range []int{1, callSize} {
		var idle, busy []time.Duration
		for range b.rounds {
			l, err := latencies(ctx, f, asked, b.turn/2)
			if err != nil {
				return err
			}
			idle = append(idle, l...)
			if l, err = b.whileWriting(ctx, f, asked, feed, size); err != nil {
				return err
			}
			busy = append(busy, l...)
		}
		slices.Sort(idle)
		slices.Sort(busy)
		quiet, loud := peer.Percentile(idle, 0.99), peer.Percentile(busy, 0.99)
		say("searches while %d items a call are written: p50 %v, p99 %v of %d; when not: %v, %v; p99 over that %.2f", size,
			micro(peer.Percentile(busy, 0.5)), micro(loud), len(busy), micro(peer.Percentile(idle, 0.5)), micro(quiet), float64(loud)/float64(quiet))
		b.figures.Add(fmt.Sprintf("during_%d_p99_ms", size), float64(loud.Microseconds())/1000)
		b.figures.Add(fmt.Sprintf("during_%d_p99_ratio", size), float64(loud)/float64(quiet))
	}
	return nil
}

func micro(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

// mostWritten limits the items written in one turn of searches: otherwise the set would grow too
// much within a turn.
const mostWritten = 10_000

// whileWriting searches while another goroutine writes.
func (b *bench) whileWriting(ctx context.Context, f *index.File, asked [][]float32, feed *feed, size int) ([]time.Duration, error) {
	searching, stop := context.WithCancel(ctx)
	wrote := make(chan error, 1)
	go func() {
		defer stop()
		var err error
		begin, count := time.Now(), 0
		for ; err == nil && count < mostWritten && time.Since(begin) < b.turn/2; count += size {
			_, err = f.Upsert(ctx, index.DefaultNamespace, feed.take(size)...)
		}
		wrote <- err
	}()
	l, err := latencies(searching, f, asked, b.turn)
	return l, errors.Join(err, <-wrote)
}

// latencies searches for one vector after another, for a given time or until ctx ends.
func latencies(ctx context.Context, f *index.File, asked [][]float32, length time.Duration) (all []time.Duration, err error) {
	for begin := time.Now(); time.Since(begin) < length && ctx.Err() == nil; {
		at := time.Now()
		q := index.Query{Vector: asked[len(all)%len(asked)], K: topK}
		if _, err := f.Search(context.WithoutCancel(ctx), index.DefaultNamespace, q); err != nil {
			return nil, err
		}
		all = append(all, time.Since(at))
	}
	return all, nil
}
