package engine

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"vicreg/pipeline/imaging"
	"vicreg/pipeline/stats"
	"vicreg/pipeline/thumbnail"
	"vicreg/server/problem"
	"vicreg/server/request"
)

// job carries the images of one request through to their vectors.
type job struct {
	e      *Engine
	ctx    context.Context
	images []request.Image
	*Result
}

// embed fills the rows from image files. It waits for images that another request is already
// embedding, and computes them itself if that request gives up.
func (j *job) embed() error {
	var todo []int
	local := false
	for i, m := range j.images {
		if j.Rows[i].Err = m.Err; m.Err == nil {
			todo = append(todo, i)
		}
		local = local || m.Local
	}
	if j.e.shared.cache == nil || local { // clients must not get from the cache what they may not send, such as TIFF
		return j.compute(todo)
	}
	names := make([]content, len(j.images))
	for _, i := range todo {
		names[i] = contentOf(j.e.Fingerprint(), j.images[i].File)
	}
	for len(todo) > 0 {
		var err error
		if todo, err = j.share(todo, names); err != nil {
			return err
		}
	}
	return nil
}

// sharedUpTo is the largest request, in images, whose images other requests may wait for: in a
// larger one they would wait for the slowest of many.
const sharedUpTo = 8

// share computes the images that are neither cached nor in flight elsewhere, waits for those in
// flight, and returns the ones whose requests gave up.
func (j *job) share(todo []int, names []content) (again []int, err error) {
	mine, theirs := map[int]*flight{}, map[int]*flight{}
	var own []int
	for _, i := range todo {
		v, f, first := j.e.shared.cache.look(names[i], len(todo) > sharedUpTo)
		switch {
		case v != nil:
			j.Rows[i] = Outcome{Vector: v}
			j.e.shared.counts.hits.WithLabelValues("known").Inc()
		case first:
			mine[i], own = f, append(own, i)
		default:
			theirs[i] = f
		}
	}
	defer func() { // after an error or a panic too: no waiter may be left hanging
		for i, f := range mine {
			if f != nil {
				j.e.shared.cache.land(names[i], f, Outcome{}, false)
			}
		}
	}()
	if err := j.compute(own); err != nil {
		return nil, err
	}
	for _, i := range own {
		if row := j.Rows[i]; mine[i] == nil {
			j.e.shared.cache.remember(names[i], row)
		} else {
			j.e.shared.cache.land(names[i], mine[i], row, row.Err == nil || row.Err.Code != problem.Internal)
		}
	}
	return j.await(theirs)
}

// await collects the outcomes of other requests' flights.
func (j *job) await(theirs map[int]*flight) (again []int, err error) {
	for i, f := range theirs {
		select {
		case <-f.landed:
		case <-j.ctx.Done():
			return nil, j.ctx.Err()
		}
		if !f.ok {
			again = append(again, i)
			continue
		}
		j.Rows[i] = f.row
		j.e.shared.counts.hits.WithLabelValues("under way").Inc()
	}
	return again, nil
}

// compute decodes images and runs the model on the valid ones. They are admitted, all or none,
// before any work is done for them.
func (j *job) compute(todo []int) error {
	if len(todo) == 0 {
		return nil
	}
	if err := j.e.batcher.Admit(j.ctx, len(todo), j.e.pool.predict(len(todo))); err != nil {
		return err
	}
	places := len(todo)
	defer func() { j.e.batcher.Leave(places) }()
	begin := time.Now()
	pixels, err := j.pixels(todo)
	took := time.Since(begin)
	j.Decode += took
	j.e.shared.counts.decode.Observe(took.Seconds())
	if err != nil {
		return err
	}
	var items [][]uint8
	var at []int
	for k, p := range pixels {
		if p != nil {
			items, at = append(items, p), append(at, todo[k])
		}
	}
	places -= len(items) // run releases these
	return j.run(items, at)
}

// tensors fills the rows from pixels.
func (j *job) tensors(items [][]uint8) error {
	if err := j.e.batcher.Admit(j.ctx, len(items), 0); err != nil {
		return err
	}
	at := make([]int, len(items))
	for i := range at {
		at[i] = i
	}
	return j.run(items, at)
}

// run passes admitted items through the model; at holds their row indices.
func (j *job) run(items [][]uint8, at []int) error {
	results, err := j.e.batcher.Run(j.ctx, items...)
	if err != nil {
		return err
	}
	for k, r := range results {
		switch {
		case r.Err != nil && j.ctx.Err() != nil:
			return j.ctx.Err()
		case errors.Is(r.Err, context.Canceled): // not by the client: the drain period is over
			return problem.Stopping
		case r.Err != nil:
			j.e.shared.log.Error("an image failed in the model", "error", r.Err, "request_id", request.ID(j.ctx))
			j.Rows[at[k]].Err = problem.Errorf(problem.Internal, "the model failed on this image")
			continue
		}
		j.Queue, j.Infer, j.Batch = max(j.Queue, r.Waited), max(j.Infer, r.Took), max(j.Batch, r.Size)
		j.Rows[at[k]] = checked(r.Value)
		j.e.shared.counts.images.Inc()
	}
	return nil
}

// pixels decodes images; an entry is nil if its image is bad, and the row then has the reason.
func (j *job) pixels(todo []int) ([][]uint8, error) {
	pixels := make([][]uint8, len(todo))
	return pixels, j.each(todo, func(k, i int) (err error) {
		pixels[k], err = j.preprocess(i)
		return err
	})
}

// each calls one concurrently for every image i = todo[k]. A *problem.Error goes into that image's
// row; any other error fails the whole request.
func (j *job) each(todo []int, one func(k, i int) error) error {
	errs := make([]error, len(todo))
	run := func(k int) {
		defer problem.Caught(&errs[k])
		errs[k] = one(k, todo[k])
	}
	if len(todo) == 1 {
		run(0)
	} else {
		var wait sync.WaitGroup
		for k := range todo {
			wait.Go(func() { run(k) })
		}
		wait.Wait()
	}
	for k, err := range errs {
		if err != nil && !errors.As(err, &j.Rows[todo[k]].Err) {
			return err
		}
	}
	return nil
}

// preprocess decodes image i, and makes its thumbnail on the way if thumbnails are requested.
func (j *job) preprocess(i int) ([]uint8, error) {
	if j.Thumbs == nil {
		return j.e.pool.preprocess(j.ctx, j.images[i], nil)
	}
	return j.e.pool.preprocess(j.ctx, j.images[i], func(m *imaging.RGB) (err error) {
		j.Thumbs[i], err = thumbnail.Make(m)
		return err
	})
}

// illustrate makes the thumbnails of images that were not decoded because their vectors were
// already known.
func (j *job) illustrate() error {
	var todo []int
	for i, r := range j.Rows {
		if r.Err == nil && j.Thumbs[i] == nil {
			todo = append(todo, i)
		}
	}
	begin := time.Now()
	err := j.each(todo, func(_, i int) error {
		_, err := j.preprocess(i)
		return err
	})
	j.Decode += time.Since(begin)
	return err
}

// checked rejects a vector that is meaningless.
func checked(v []float32) Outcome {
	switch norm := stats.Norm(v); {
	case math.IsNaN(norm) || math.IsInf(norm, 0):
		return Outcome{Err: problem.Errorf(problem.BadImage, "its vector is not finite")}
	case norm == 0:
		return Outcome{Err: problem.Errorf(problem.BadImage, "its vector is zero and has no direction")}
	}
	return Outcome{Vector: v}
}
