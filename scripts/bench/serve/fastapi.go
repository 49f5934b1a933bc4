package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"vicreg/scripts/bench/peer"
)

// peerScript is the peer server, relative to the repository's root.
const peerScript = "scripts/golden/fastapi_server.py"

// fastapi compares with FastAPI, uvicorn, Pillow and ONNX Runtime for Python, in turns: with a
// network at several concurrencies, and the overhead around a model.
func fastapi(ctx context.Context, b *bench) error {
	if b.python == "" {
		say("SKIPPED: there is no Python with the packages of the peer")
		return nil
	}
	return errors.Join(peerNetwork(ctx, b), peerOverhead(ctx, b))
}

// startPeer starts the peer with a model.
func (b *bench) startPeer(ctx context.Context, model string, workers int) (*child, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("FastAPI with %d processes", workers)
	c := &child{name: name, addr: "127.0.0.1:" + port, log: b.logFile(fmt.Sprint("fastapi-", workers))}
	threads := max(1, b.threads/workers)
	out, err := c.start(ctx, b.python, peerScript, "--model", model, "--port", port,
		"--threads", fmt.Sprint(threads), "--workers", fmt.Sprint(workers), "--max-batch", fmt.Sprint(b.maxBatch()))
	if err != nil {
		return nil, err
	}
	go io.Copy(io.Discard, out)
	if err := c.await("/ready"); err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

// pair starts both servers with a model. Unless it fails, the caller must stop both.
func (b *bench) pair(ctx context.Context, model, log string) (ours, theirs *child, err error) {
	if ours, err = b.serve(ctx, b.server, model, log); err != nil {
		return nil, nil, err
	}
	if theirs, err = b.startPeer(ctx, model, 1); err != nil {
		ours.stop()
		return nil, nil, err
	}
	return ours, theirs, nil
}

// peerNetwork compares the servers with a network and image files as requests.
func peerNetwork(ctx context.Context, b *bench) error {
	model, err := b.model("resnet18")
	if err != nil {
		return err
	}
	messages, err := imageMessages(b.pictures)
	if err != nil {
		return err
	}
	ours, theirs, err := b.pair(ctx, model, b.logFile("fastapi-ours"))
	if err != nil {
		return err
	}
	defer ours.stop()
	defer theirs.stop()
	if err := b.sameVectors(ours, theirs, messages[0]); err != nil {
		return err
	}
	us, them := &side{label: "vicreg", child: ours, messages: messages}, &side{label: "FastAPI", child: theirs, messages: messages}
	for range b.rounds {
		for _, clients := range b.concurrencies() {
			for _, s := range []*side{us, them} {
				if _, err := s.take(ctx, b, clients); err != nil {
					return err
				}
			}
		}
	}
	for _, clients := range b.concurrencies() {
		b.against(us, them, clients)
	}
	return nil
}

// against reports two sides at one concurrency. Ratios are taken within a round.
func (b *bench) against(us, them *side, clients int) {
	var faster, later []float64
	for i, t := range us.turns[clients] {
		u := them.turns[clients][i]
		faster, later = append(faster, t.rate/u.rate), append(later, ms(t.p99)/ms(u.p99))
	}
	say("resnet18, %2d clients: %6.1f images/s over %6.1f: ratio %.3f; p50 %.1f ms over %.1f, p99 %.1f ms over %.1f: ratio %.3f", clients,
		us.middle(clients, perSecond), them.middle(clients, perSecond), peer.Median(faster),
		us.middle(clients, p50), them.middle(clients, p50), us.middle(clients, p99), them.middle(clients, p99), peer.Median(later))
	key := fmt.Sprintf("fastapi_c%d_", clients)
	b.figures.Add(key+"ratio", peer.Median(faster))
	b.figures.Add(key+"p99_ratio", peer.Median(later))
}

// sameVectors sends an image to both: a different decoder changes a vector slightly, a different
// resize or model by more than that.
func (b *bench) sameVectors(ours, theirs *child, m *message) error {
	var vectors [2][]float32
	for i, c := range []*child{ours, theirs} {
		r, err := newClient(c.addr).do(m, b.numbers.Add(1))
		if err != nil {
			return err
		}
		if r.status != 200 {
			return fmt.Errorf("%s answered %d %.200s", c.name, r.status, r.body)
		}
		vectors[i] = floats(r.body)
	}
	off := difference(vectors[0], vectors[1])
	say("the vectors of one image differ by %.4f of the largest number", off)
	b.figures.Add("fastapi_difference", off)
	if off > 0.05 {
		return fmt.Errorf("the vectors of one image differ by %.3f", off)
	}
	return nil
}

// difference returns the largest difference between two vectors, relative to the largest magnitude
// in either; infinite for different lengths and for NaN.
func difference(a, b []float32) float64 {
	if len(a) != len(b) || len(a) == 0 {
		return math.Inf(1)
	}
	off, top := 0.0, 0.0
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		off, top = max(off, math.Abs(x-y)), max(top, math.Abs(x), math.Abs(y)) // NaN persists
	}
	if math.IsNaN(off) {
		return math.Inf(1)
	}
	if off == 0 {
		return 0
	}
	return off / top
}

// peerOverhead compares on tensors with a model that costs nothing, each side at its best number of
// clients, and the peer with one process or two.
func peerOverhead(ctx context.Context, b *bench) error {
	model, err := b.model("nocost")
	if err != nil {
		return err
	}
	ours, one, err := b.pair(ctx, model, quietLog)
	if err != nil {
		return err
	}
	defer ours.stop()
	defer one.stop()
	pixels := noise(smallSide)
	raw := post("/tensor", pixels, []int{0}, [2]string{"Content-Type", "application/octet-stream"})
	sides := []*side{{label: "vicreg", child: ours, messages: []*message{inferMessage("nocost", pixels, smallSide)}},
		{label: "FastAPI", child: one, messages: []*message{raw}}}
	tried := []int{32}
	if !b.quick {
		tried = []int{8, 32, 128}
		two, err := b.startPeer(ctx, model, 2)
		if err != nil {
			return err
		}
		defer two.stop()
		sides = append(sides, &side{label: "FastAPI, two processes", child: two, messages: []*message{raw}})
	}
	for range b.rounds {
		for _, clients := range tried {
			for _, s := range sides {
				if _, err := s.take(ctx, b, clients); err != nil {
					return err
				}
			}
		}
	}
	var best []float64
	for _, s := range sides {
		top := 0.0
		for _, clients := range tried {
			top = max(top, s.middle(clients, perSecond))
		}
		best = append(best, top)
		say("tensors of 972 bytes, %s: %.0f requests/s at its best of %v clients", s.label, top, tried)
	}
	theirs := slices.Max(best[1:])
	say("  ratio %.2f", best[0]/theirs)
	b.figures.Add("fastapi_nocost_rps", theirs)
	b.figures.Add("fastapi_nocost_ratio", best[0]/theirs)
	return nil
}
