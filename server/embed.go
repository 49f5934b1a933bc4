package server

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"vicreg/pipeline/stats"
)

// spans are where the time of a request went.
type spans struct {
	decode, queue, infer time.Duration
	batch                int // the largest that an image of the request was in
}

func (t spans) header() string {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return fmt.Sprintf("decode;dur=%.3f, queue;dur=%.3f, infer;dur=%.3f", ms(t.decode), ms(t.queue), ms(t.infer))
}

// embed answers POST /embed.
func (s *Server) embed(c echo.Context) error {
	form, err := accepted(c.Request().Header.Get(echo.HeaderAccept))
	if err != nil {
		return err
	}
	in, err := s.read(c)
	if err != nil {
		return err
	}
	rows, times, err := s.vectors(c.Request().Context(), in)
	if err != nil {
		return err
	}
	if in.single && rows[0].err != nil {
		return rows[0].err
	}
	h := c.Response().Header()
	h.Set("Server-Timing", times.header())
	h.Set("X-Batch-Size", fmt.Sprint(times.batch))
	a := &answer{model: s.enc.Fingerprint(), dim: s.enc.Dim(), rows: rows, base64: in.base64}
	return a.write(c, form)
}

// vectors embeds the images of a request. A bad one fails alone; the error is the
// whole request's.
func (s *Server) vectors(ctx context.Context, in *input) ([]outcome, spans, error) {
	var times spans
	begin := time.Now()
	rows, pixels, err := s.decode(ctx, in.images)
	times.decode = time.Since(begin)
	s.metrics.decode.Observe(times.decode.Seconds())
	if err != nil {
		return nil, times, err
	}
	var items [][]uint8
	var at []int
	for i, p := range pixels {
		if p != nil {
			items, at = append(items, p), append(at, i)
		}
	}
	if len(items) == 0 {
		return rows, times, nil
	}
	results, err := s.batcher.Do(ctx, items...)
	if err != nil {
		return nil, times, err
	}
	for k, r := range results {
		if r.Err != nil {
			if ctx.Err() != nil {
				return nil, times, ctx.Err()
			}
			s.log.Error("an image failed in the model", "error", r.Err)
			rows[at[k]].err = problemf(internal, "the model failed on this image")
			continue
		}
		times.queue, times.infer = max(times.queue, r.Waited), max(times.infer, r.Took)
		times.batch = max(times.batch, r.Size)
		rows[at[k]] = finished(r.Value, in.normalize)
	}
	s.metrics.queue.Observe(times.queue.Seconds())
	s.metrics.infer.Observe(times.infer.Seconds())
	s.metrics.images.Add(float64(len(items)))
	return rows, times, nil
}

// decode turns every image into pixels, nil where it is bad.
func (s *Server) decode(ctx context.Context, images []source) ([]outcome, [][]uint8, error) {
	rows, pixels := make([]outcome, len(images)), make([][]uint8, len(images))
	errs := make([]error, len(images))
	var wait sync.WaitGroup
	for i, m := range images {
		if rows[i].err = m.err; m.err != nil {
			continue
		}
		wait.Go(func() {
			defer caught(&errs[i])
			pixels[i], errs[i] = s.pool.preprocess(ctx, m.file)
		})
	}
	wait.Wait()
	for i, err := range errs {
		if err != nil && !errors.As(err, &rows[i].err) {
			return nil, nil, err
		}
	}
	return rows, pixels, nil
}

// finished checks a vector and scales it to length 1 when asked to. It is the
// batch's own memory, which nobody else reads.
func finished(v []float32, normalize bool) outcome {
	if norm := stats.Norm(v); math.IsNaN(norm) || math.IsInf(norm, 0) {
		return outcome{err: problemf(badImage, "its vector is not finite")}
	}
	if normalize && !stats.Unit(v) {
		return outcome{err: problemf(badImage, "its vector is zero and has no direction")}
	}
	return outcome{vector: v}
}
