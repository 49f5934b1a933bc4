package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// manner is the behaviour of a misbehaving client. It gets a new connection; end is closed when the
// test is over.
type manner func(conn net.Conn, m *message, end <-chan struct{}) error

// practise opens one connection after another until ctx ends, pausing in between, and returns how
// often the server closed it.
func (f manner) practise(ctx context.Context, addr string, m *message, between time.Duration) (ended int) {
	for ctx.Err() == nil {
		if conn, err := net.Dial("tcp", addr); err == nil {
			if f(conn, m, ctx.Done()) != nil {
				ended++
			}
			conn.Close()
		}
		select {
		case <-ctx.Done():
		case <-time.After(between):
		}
	}
	return ended
}

// whole returns the message in one piece, with zero as its number.
func (m *message) whole() []byte {
	out := slices.Concat(m.head, m.tail)
	for _, at := range m.at {
		patch(out[at:], 0)
	}
	return out
}

// leavesInTheBody sends half of a request and hangs up.
func leavesInTheBody(conn net.Conn, m *message, _ <-chan struct{}) error {
	all := m.whole()
	conn.Write(all[:len(all)/2])
	return nil
}

// leavesBeforeTheAnswer sends a request and hangs up.
func leavesBeforeTheAnswer(conn net.Conn, m *message, _ <-chan struct{}) error {
	conn.Write(m.whole())
	return nil
}

// neverEndsTheHeader sends part of a header and waits for the server to time out.
func neverEndsTheHeader(conn net.Conn, m *message, end <-chan struct{}) error {
	if _, err := conn.Write(m.head[:20]); err != nil {
		return err
	}
	return untilClosed(conn, end)
}

// dribbles sends a header and then a byte of the body per second, until the server closes the
// connection.
func dribbles(conn net.Conn, m *message, end <-chan struct{}) error {
	all := m.whole()
	if _, err := conn.Write(all[:len(m.head)]); err != nil {
		return err
	}
	for at := len(m.head); at < len(all); at++ {
		select {
		case <-end:
			return nil
		case <-time.After(time.Second):
		}
		if _, err := conn.Write(all[at : at+1]); err != nil {
			return err
		}
	}
	return nil
}

// untilClosed waits until the server closes the connection, which is an error, or until end.
func untilClosed(conn net.Conn, end <-chan struct{}) error {
	closed := make(chan error, 1)
	go func() {
		buffer := make([]byte, 4096) // an answer may come first
		for {
			if _, err := conn.Read(buffer); err != nil {
				closed <- err
				return
			}
		}
	}()
	select {
	case err := <-closed:
		return err
	case <-end:
		return nil
	}
}

// rudeClients runs many clients of each kind beside well-behaved ones, whose answers must all
// arrive and be correct.
func (f *faulty) rudeClients(ctx context.Context) error {
	c, err := f.start(ctx, "faults-rude", f.a)
	if err != nil {
		return err
	}
	defer c.stop()
	ctx, cancel := context.WithTimeout(ctx, f.turns(4))
	defer cancel()
	var ended atomic.Int64
	var rude sync.WaitGroup
	kinds := []manner{leavesInTheBody, leavesBeforeTheAnswer, neverEndsTheHeader, dribbles}
	for _, kind := range kinds {
		for range 16 {
			rude.Go(func() { ended.Add(int64(kind.practise(ctx, c.addr, f.messages[0], 50*time.Millisecond))) })
		}
	}
	o := f.judged(c).closed(ctx, 4)
	rude.Wait()
	s := o.summarise(0, f.turns(4))
	say("beside %d rude clients: %d requests, p50 %.1f ms, p99 %.1f ms; the server ended %d slow connections", 16*len(kinds), s.count, ms(s.p50), ms(s.p99), ended.Load())
	if s.count == 0 {
		return fmt.Errorf("rude clients: nothing else was answered")
	}
	return f.count(o, 200)
}
