package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"vicreg/models/ort"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/whole"
)

// faulty is the state shared by the fault tests: two small models, and their reference vectors.
type faulty struct {
	*bench
	a, b     string // files of the models
	prints   [2]string
	golden   map[string][][]float32 // by fingerprint of the model, then by image
	messages []*message
	lost     int // requests that were sent but not answered
	wrong    int // answers that differ from those of the model they name, or have an unexpected status
}

// faults tests what must not lose or corrupt an answer: model reloads and a stop under load,
// misbehaving clients, and bad images among good ones.
func faults(ctx context.Context, b *bench) error {
	f := &faulty{bench: b, golden: map[string][][]float32{}}
	if err := f.prepare(ctx); err != nil {
		return err
	}
	err := errors.Join(f.reloads(ctx), f.stops(ctx), f.rudeClients(ctx), f.poison(ctx))
	b.figures.Add("faults_lost", float64(f.lost))
	b.figures.Add("faults_wrong", float64(f.wrong))
	say("in all: %d answers lost, %d wrong", f.lost, f.wrong)
	return err
}

// prepare makes the models and computes the reference vectors of each.
func (f *faulty) prepare(ctx context.Context) (err error) {
	if f.a, err = f.model("small-a"); err != nil {
		return err
	}
	if f.b, err = f.model("small-b"); err != nil {
		return err
	}
	if f.messages, err = imageMessages(f.pictures); err != nil {
		return err
	}
	library, err := ort.Find("")
	if err != nil {
		return err
	}
	runtime, err := ort.Open(library)
	if err != nil {
		return err
	}
	for i, path := range []string{f.a, f.b} {
		e, err := encoder.Open(runtime, path, ort.Options{Threads: f.threads})
		if err != nil {
			return err
		}
		f.prints[i] = e.Fingerprint()
		for _, p := range f.pictures {
			v, err := e.EncodeImage(ctx, p.data)
			if err != nil {
				return errors.Join(fmt.Errorf("%s: %w", p.name, err), e.Close())
			}
			f.golden[e.Fingerprint()] = append(f.golden[e.Fingerprint()], v)
		}
		if err := e.Close(); err != nil {
			return err
		}
	}
	return nil
}

// start starts a server with a model and its own log.
func (f *faulty) start(ctx context.Context, name, model string) (*child, error) {
	return f.serve(ctx, f.server, model, f.logFile(name))
}

// judge compares an answer with the reference vector of the model that it names.
func (f *faulty) judge(m *message, r *reply) error {
	if r.status != 200 {
		return nil // statuses are checked elsewhere
	}
	golden, known := f.golden[r.header("X-Model-Fingerprint")]
	if !known {
		return fmt.Errorf("an answer of model %q", r.header("X-Model-Fingerprint"))
	}
	if off := difference(floats(r.body), golden[m.pictures[0]]); off > tolerance {
		return fmt.Errorf("picture %d: the vector is off by %.2g of its largest number", m.pictures[0], off)
	}
	return nil
}

// tolerance allows for the rounding of different batches. Vectors of the two models differ by more
// than their largest number.
const tolerance = 1e-3

// judged returns a load of the images whose answers are checked.
func (f *faulty) judged(c *child) *load {
	l := f.load(c, f.messages)
	l.judge = f.judge
	return l
}

// count adds the failures to the totals.
func (f *faulty) count(o *outcome, allowed ...int) error {
	lost := o.statuses()[0] + o.stale
	n, err := o.bad(allowed...)
	f.lost, f.wrong = f.lost+lost, f.wrong+n-lost
	return err
}

// live is the path of a model file that changes while a server uses it.
func (f *faulty) live() string { return filepath.Join(f.work, "live.onnx") }

// put atomically replaces the live model by one of the models.
func (f *faulty) put(model string) error {
	file, err := os.ReadFile(model)
	if err != nil {
		return err
	}
	return whole.WriteFile(f.live(), file)
}
