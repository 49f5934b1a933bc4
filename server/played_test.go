package server

import (
	"context"
	"time"

	"vicreg/server/engine"
	"vicreg/server/problem"
	"vicreg/server/request"
)

// played wraps the model in service and simulates rare conditions; everything else is the real
// model's.
type played struct {
	embedder
	refusal error           // returned by every operation
	bad     *problem.Error  // of every image
	age     time.Duration   // of its canary
	panics  bool            // panic on requests
	began   chan<- struct{} // receives a value per request, which then blocks until it is cancelled
}

// play puts a played model into service until end is called.
func (s *Server) play(p played) (end func()) {
	real := s.engine
	p.embedder = real
	s.engine = &p
	return func() { s.engine = real }
}

func (p *played) Room(ctx context.Context) error {
	switch {
	case p.panics:
		panic("played")
	case p.refusal != nil:
		return p.refusal
	}
	return p.embedder.Room(ctx)
}

func (p *played) Embed(ctx context.Context, images []request.Image, pictured bool) (*engine.Result, error) {
	if r, err := p.instead(ctx, len(images)); r != nil {
		r.Thumbs = make([][]byte, len(images))
		return r, err
	}
	return p.embedder.Embed(ctx, images, pictured)
}

func (p *played) EmbedPixels(ctx context.Context, images [][]uint8) (*engine.Result, error) {
	if r, err := p.instead(ctx, len(images)); r != nil {
		return r, err
	}
	return p.embedder.EmbedPixels(ctx, images)
}

// instead returns the simulated result, or nil if the real model is to answer.
func (p *played) instead(ctx context.Context, images int) (*engine.Result, error) {
	r := &engine.Result{Rows: make([]engine.Outcome, images)}
	switch {
	case p.began != nil:
		p.began <- struct{}{}
		<-ctx.Done()
		return r, ctx.Err()
	case p.refusal != nil:
		return r, p.refusal
	case p.bad != nil:
		for i := range r.Rows {
			r.Rows[i].Err = p.bad
		}
		return r, nil
	}
	return nil, nil
}

func (p *played) Stats() engine.Stats {
	now := p.embedder.Stats()
	now.CanaryAge += p.age
	return now
}

// absent stands for a model that is not there: requests must end before it is needed.
type absent struct{ embedder }

func (absent) Fingerprint() string        { return "" }
func (absent) Dim() int                   { return 3 }
func (absent) Room(context.Context) error { return nil }
func (absent) Use() (done func())         { return func() {} }
