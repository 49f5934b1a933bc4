package main

import (
	"context"
	"fmt"

	"vicreg/scripts/bench/peer"
)

// concurrencies are the numbers of clients; ratios are taken at the last one.
func (b *bench) concurrencies() []int {
	switch {
	case b.quick:
		return []int{1, 8}
	case b.onHost():
		return []int{1, 8, 64}
	}
	return []int{1, 64, 256}
}

// side is a server that takes turns with others, and the results of its turns.
type side struct {
	label, suffix string // for display, and for figures' keys
	child         *child
	messages      []*message
	turns         map[int][]summary // by clients
}

// take runs a turn of a side.
func (s *side) take(ctx context.Context, b *bench, clients int) (summary, error) {
	sum, err := b.measure(ctx, b.load(s.child, s.messages), clients)
	if err != nil {
		return sum, fmt.Errorf("%s, %d clients: %w", s.label, clients, err)
	}
	if s.turns == nil {
		s.turns = map[int][]summary{}
	}
	s.turns[clients] = append(s.turns[clients], sum)
	return sum, nil
}

// middle returns the median of a figure over a side's turns.
func (s *side) middle(clients int, of func(summary) float64) float64 {
	var all []float64
	for _, t := range s.turns[clients] {
		all = append(all, of(t))
	}
	return peer.Median(all)
}

func perSecond(s summary) float64 { return s.rate }
func p50(s summary) float64       { return ms(s.p50) }
func p99(s summary) float64       { return ms(s.p99) }

// throughput measures a network behind the server relative to its bare session. Every request has a
// JPEG file not sent before.
func throughput(ctx context.Context, b *bench, name string) error {
	model, err := b.model(name)
	if err != nil {
		return err
	}
	messages, err := imageMessages(b.pictures)
	if err != nil {
		return err
	}
	session, err := b.startBare(model)
	if err != nil {
		return err
	}
	defer session.process.Stop()
	sides, err := b.builds(ctx, name, model, messages)
	if err == nil && !b.onHost() { // image requests may be limited by decoding on the host
		sides = append(sides, &side{label: "ready pixels", suffix: "_pixels", child: sides[0].child,
			messages: []*message{inferMessage(name, noise(networkSide), networkSide)}})
	}
	for _, s := range sides {
		defer s.child.stop()
	}
	if err != nil {
		return err
	}
	bare, ratios, err := b.alternate(ctx, session, sides)
	if err != nil {
		return err
	}
	say("bare session: %.1f images/s in batches of %d (median of %d turns of %v)", peer.Median(bare), session.size, b.rounds, b.turn)
	b.figures.Add(name+"_bare", peer.Median(bare))
	for i, s := range sides {
		b.report(name, s, ratios[i])
	}
	return nil
}

// builds starts a server for each available build of vicreg.
func (b *bench) builds(ctx context.Context, name, model string, messages []*message) (sides []*side, err error) {
	for _, s := range []struct{ program, label, suffix string }{{b.server, "default build", ""}, {b.turbo, "with turbojpeg", "_turbo"}} {
		if s.program == "" {
			continue
		}
		c, err := b.serve(ctx, s.program, model, b.logFile(name+s.suffix))
		if err != nil {
			return sides, err
		}
		sides = append(sides, &side{label: s.label, suffix: s.suffix, child: c, messages: messages})
	}
	return sides, nil
}

// alternate gives the bare session and each side its turns; a ratio is taken within a round, at the
// last concurrency, whose turn follows directly after the session's.
func (b *bench) alternate(ctx context.Context, session *bareSide, sides []*side) (bare []float64, ratios [][]float64, err error) {
	ratios = make([][]float64, len(sides))
	tried, last := b.concurrencies(), len(b.concurrencies())-1
	for range b.rounds {
		for i, s := range sides {
			alone, err := session.at(session.size, b.turn)
			if err != nil {
				return nil, nil, err
			}
			sum, err := s.take(ctx, b, tried[last])
			if err != nil {
				return nil, nil, err
			}
			bare, ratios[i] = append(bare, alone), append(ratios[i], sum.rate/alone)
		}
		for _, clients := range tried[:last] {
			for _, s := range sides {
				if _, err := s.take(ctx, b, clients); err != nil {
					return nil, nil, err
				}
			}
		}
	}
	return bare, ratios, nil
}

// report prints and records the figures of one build.
func (b *bench) report(name string, s *side, ratios []float64) {
	tried := b.concurrencies()
	say("%s: %.3f of the bare session at %d clients", s.label, peer.Median(ratios), tried[len(tried)-1])
	b.figures.Add(name+"_ratio"+s.suffix, peer.Median(ratios))
	for _, clients := range tried {
		key := func(what string) string { return fmt.Sprintf("%s_c%d%s%s", name, clients, what, s.suffix) }
		rate, parts := s.middle(clients, perSecond), [3]float64{}
		for i := range parts {
			parts[i] = s.middle(clients, func(s summary) float64 { return s.spans[i] })
			b.figures.Add(key("_"+[]string{"decode", "queue", "infer"}[i]+"_ms"), parts[i])
		}
		say("  %2d clients: %6.1f images/s, p50 %.1f ms, p99 %.1f ms; decoding %.1f ms, queue %.1f ms, model %.1f ms, batches of %.1f", clients,
			rate, s.middle(clients, p50), s.middle(clients, p99), parts[0], parts[1], parts[2], s.middle(clients, func(s summary) float64 { return s.batch }))
		b.figures.Add(key(""), rate)
		b.figures.Add(key("_p50_ms"), s.middle(clients, p50))
		b.figures.Add(key("_p99_ms"), s.middle(clients, p99))
	}
}
