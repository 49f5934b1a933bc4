package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
)

// batchOf is the size of a batch with one bad image.
const batchOf = 16

// poison sends batches with one bad image: only that one must fail.
func (f *faulty) poison(ctx context.Context) error {
	c, err := f.start(ctx, "faults-poison", f.a)
	if err != nil {
		return err
	}
	defer c.stop()
	l := f.load(c, f.poisoned())
	var batches atomic.Int64
	l.judge = func(m *message, r *reply) error {
		batches.Add(1)
		return f.judgeBatch(m, r)
	}
	limited, cancel := context.WithTimeout(ctx, f.turns(2))
	defer cancel()
	o := l.closed(limited, 4)
	say("%d batches of %d with a bad image in each", batches.Load(), batchOf)
	f.figures.Add("faults_poisoned", float64(batches.Load()))
	return f.count(o, 200)
}

// poisoned returns such batches in both forms, with every kind of bad image at each position.
func (f *faulty) poisoned() (all []*message) {
	kinds := []string{"truncated", "text", "headless", "bomb"}
	for i := range 4 * batchOf {
		files, pictures := make([][]byte, batchOf), make([]int, batchOf)
		for k := range files {
			pictures[k] = (i*batchOf + k) % len(f.pictures)
			files[k] = f.pictures[pictures[k]].data
		}
		place := i % batchOf
		files[place] = spoiled(f.pictures[pictures[place]])[kinds[i/batchOf]]
		pictures[place] = -1
		m := jsonMessage(files...)
		if i%2 == 0 {
			m = formMessage(files...)
		}
		m.pictures = pictures
		all = append(all, m)
	}
	return all
}

// judgeBatch checks every image of an answer.
func (f *faulty) judgeBatch(m *message, r *reply) error {
	if r.status != 200 {
		return nil // counted by its status
	}
	var answer struct {
		Data []struct {
			Embedding []float32
			Error     *struct{ Status int }
		}
	}
	if err := json.Unmarshal(r.body, &answer); err != nil || len(answer.Data) != len(m.pictures) {
		return fmt.Errorf("an answer of %d images: %v", len(answer.Data), err)
	}
	golden, known := f.golden[r.header("X-Model-Fingerprint")]
	if !known {
		return fmt.Errorf("an answer of model %q", r.header("X-Model-Fingerprint"))
	}
	for i, d := range answer.Data {
		switch picture := m.pictures[i]; {
		case picture < 0 && (d.Error == nil || d.Error.Status != 422 || d.Embedding != nil):
			return fmt.Errorf("the bad image, number %d, came out as %+v", i, d)
		case picture >= 0 && (d.Error != nil || difference(d.Embedding, golden[picture]) > tolerance):
			return fmt.Errorf("image %d beside a bad one: %+v", i, d.Error)
		}
	}
	return nil
}
