package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// overhead measures the cost of the server around a model that costs nothing: requests per second
// at the best number of clients, and latencies at half that rate, with a thousand bytes per request
// and with a hundred thousand.
func overhead(ctx context.Context, b *bench) error {
	photo, err := imageMessage(nearest(b.pictures, 100_000))
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range []struct {
		model, what, key string
		message          *message
		side             int // of the image, if the message is its pixels
	}{
		{"nocost", "tensors of 972 bytes", "overhead", inferMessage("nocost", noise(smallSide), smallSide), smallSide},
		{"nocost-large", "tensors of 99,372 bytes", "overhead_100k", inferMessage("nocost-large", noise(largeSide), largeSide), largeSide},
		{"nocost", fmt.Sprintf("a JPEG file of %d bytes", len(photo.head)+len(photo.tail)), "overhead_jpeg", photo, 0},
	} {
		if err := b.around(ctx, c.model, c.what, c.key, c.message, c.side); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c.what, err))
		}
	}
	return errors.Join(errs...)
}

// noise returns the pixels of an image.
func noise(side int) []byte {
	pixels := make([]byte, 3*side*side)
	for i := range pixels {
		pixels[i] = uint8(i * 2654435761 >> 13)
	}
	return pixels
}

// around measures one kind of request.
func (b *bench) around(ctx context.Context, model, what, key string, m *message, side int) error {
	path, err := b.model(model)
	if err != nil {
		return err
	}
	c, err := b.serve(ctx, b.server, path, quietLog)
	if err != nil {
		return err
	}
	defer c.stop()
	if side > 0 {
		if err := b.checkTensor(c, m, side); err != nil {
			return err
		}
	}
	l := b.load(c, []*message{m})
	rate, clients, err := b.fastest(ctx, c, l, what)
	if err != nil {
		return err
	}
	b.figures.Add(key+"_rps", rate)
	b.figures.Add(key+"_clients", float64(clients))
	return b.halfway(ctx, l, rate, key)
}

// checkTensor checks one answer: the mean of the last row, which follows the answer's JSON.
func (b *bench) checkTensor(c *child, m *message, side int) error {
	r, err := newClient(c.addr).do(m, b.numbers.Add(1))
	if err != nil {
		return err
	}
	if r.status != 200 || len(r.body) < 12 {
		return fmt.Errorf("the answer to a tensor is %d %.200s", r.status, r.body)
	}
	pixels := noise(side)
	row, got := pixels[len(pixels)-3*side:], floats(r.body[len(r.body)-12:])
	for channel, v := range got {
		want := 0.0
		for x := channel; x < len(row); x += 3 {
			want += float64(row[x]) / float64(side)
		}
		if math.Abs(float64(v)-want) > 0.01 {
			return fmt.Errorf("the answer to a tensor is %v, number %d should be %v", got, channel, want)
		}
	}
	return nil
}

// fastest finds the number of clients with the most answers per second.
func (b *bench) fastest(ctx context.Context, c *child, l *load, what string) (rate float64, clients int, err error) {
	tried := []int{1, 4, 16, 64, 128}
	if b.quick {
		tried = []int{32}
	}
	for _, n := range tried {
		cpu, answers := c.cpu(), l.answers.Load()
		s, err := b.measure(ctx, l, n)
		if err != nil {
			return 0, 0, err
		}
		cost := (c.cpu() - cpu).Seconds() / float64(l.answers.Load()-answers)
		say("%s, %3d clients: %6.0f requests/s, p50 %.3f ms, p99 %.3f ms, %.0f us of the server's processor time a request",
			what, n, s.rate, ms(s.p50), ms(s.p99), 1e6*cost)
		if s.rate > rate {
			rate, clients = s.rate, n
		}
	}
	return rate, clients, nil
}

// halfway sends at half the rate, at times independent of the answers.
func (b *bench) halfway(ctx context.Context, l *load, rate float64, key string) error {
	length := b.turns(4)
	o := l.open(ctx, poisson(rate/2, length, 1), 256)
	if _, err := o.bad(200); err != nil {
		return err
	}
	s := o.summarise(length/10, math.MaxInt64)
	say("  %.0f requests/s at random times: p50 %.3f ms, p99 %.3f ms, p99.9 %.3f ms from when they were due (sent up to %.3f ms late, for 99 %%)",
		rate/2, ms(s.p50), ms(s.p99), ms(s.p999), ms(o.late()))
	b.figures.Add(key+"_p50_ms", ms(s.p50))
	b.figures.Add(key+"_p99_ms", ms(s.p99))
	b.figures.Add(key+"_p999_ms", ms(s.p999))
	return nil
}

// floats decodes little-endian float32.
func floats(b []byte) (v []float32) {
	for ; len(b) >= 4; b = b[4:] {
		v = append(v, math.Float32frombits(binary.LittleEndian.Uint32(b)))
	}
	return v
}

// turns returns the duration of n turns, or of one with --quick.
func (b *bench) turns(n int) time.Duration {
	if b.quick {
		return b.turn
	}
	return time.Duration(n) * b.turn
}
