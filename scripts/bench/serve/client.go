package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

// patience is how long a client waits for an answer before it counts as lost.
const patience = 60 * time.Second

// client sends requests over its own connection, one after another, with as little work as
// possible: it shares the machine with what it measures.
type client struct {
	addr  string
	conn  net.Conn
	in    *bufio.Reader
	out   []byte
	reply reply
	used  bool // the connection has delivered an answer
	old   bool // it had when the last request was sent
	stale int  // requests that were resent because the server had closed the idle connection
	// careful checks whether the server has closed an idle connection before using it, at the cost
	// of a system call.
	careful bool
}

func newClient(addr string) *client {
	return &client{addr: addr, in: bufio.NewReaderSize(nil, 8<<10)}
}

// unsent is the error of a request for which there was no connection.
type unsent struct{ error }

func (u unsent) Unwrap() error { return u.error }

// do sends a message and returns the answer, which is valid until the next call. Like every client
// with persistent connections it retries once if a reused one turns out to be closed before any
// byte of the answer.
func (c *client) do(m *message, number uint64) (*reply, error) {
	r, err := c.try(m, number)
	if err != nil && c.old && !c.reply.begun {
		c.stale++
		return c.try(m, number)
	}
	return r, err
}

// try is do without the retry. After an error the connection is closed.
func (c *client) try(m *message, number uint64) (*reply, error) {
	c.reply.begun, c.old = false, false
	if err := c.dial(); err != nil {
		return nil, unsent{err}
	}
	c.old = c.used
	c.conn.SetDeadline(time.Now().Add(patience))
	// A server may answer without reading the whole request: the answer is what counts.
	sent := c.send(m, number)
	if err := c.reply.read(c.in); err != nil {
		c.close()
		return nil, errors.Join(err, sent)
	}
	c.used = true
	if sent != nil || c.reply.closes() {
		c.close()
	}
	return &c.reply, nil
}

func (c *client) dial() error {
	if c.careful && c.used && c.over() {
		c.close()
	}
	if c.conn != nil {
		return nil
	}
	conn, err := net.Dial("tcp", c.addr)
	if err != nil {
		return err
	}
	c.conn, c.used = conn, false
	c.in.Reset(conn)
	return nil
}

// over reports whether an idle connection has reached its end, or has unexpected data.
func (c *client) over() bool {
	raw, err := c.conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return true
	}
	quiet := false
	err = raw.Read(func(fd uintptr) bool {
		_, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		quiet = errors.Is(err, syscall.EAGAIN)
		return true
	})
	return err != nil || !quiet
}

// send writes a message with its number filled in.
func (c *client) send(m *message, number uint64) error {
	c.out = append(c.out[:0], m.head...)
	for _, at := range m.at {
		patch(c.out[at:], number)
	}
	var err error
	if len(m.tail) == 0 {
		_, err = c.conn.Write(c.out)
	} else {
		pieces := net.Buffers{c.out, m.tail}
		_, err = pieces.WriteTo(c.conn)
	}
	if err != nil {
		return fmt.Errorf("send a request: %w", err)
	}
	return nil
}

func (c *client) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn, c.used = nil, false
	}
}
