package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"vicreg/scripts/bench/peer"
)

// child is a server in a separate process.
type child struct {
	name  string
	addr  string
	log   string // file with its standard error
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // how it ended; only valid once ended is closed
}

// readyWithin is the time that a server gets to load and measure its model.
const readyWithin = 2 * time.Minute

// quietLog is for servers whose log is not read: under a load of small requests writing it would be
// a large part of the work.
const quietLog = os.DevNull

// serve starts vicreg serve with a model, on a free port.
func (b *bench) serve(ctx context.Context, program, model, log string, flags ...string) (*child, error) {
	args := append([]string{"serve", "--model", model, "--addr", "127.0.0.1:0", "--threads", fmt.Sprint(b.threads),
		"--max-batch", fmt.Sprint(b.maxBatch())}, flags...)
	if !b.onHost() {
		args = append(args, "--device", b.device)
	}
	if b.knows("cache-mb") { // all requests differ, so a cache gains nothing
		args = append(args, "--cache-mb", "0")
	}
	c := &child{name: "vicreg", log: log}
	out, err := c.start(ctx, program, args...)
	if err != nil {
		return nil, err
	}
	lines := bufio.NewReader(out)
	line, _ := lines.ReadString('\n') // after an early end there is no address in it
	go io.Copy(io.Discard, lines)
	_, addr, ok := strings.Cut(strings.TrimSpace(line), " on http://")
	if c.addr = addr; !ok {
		c.stop()
		return nil, fmt.Errorf("%s serve ended before it was ready: %v; its log is %s", program, c.err, log)
	}
	return c, nil
}

// maxBatch limits the batch size that a server considers: trying large ones at startup takes
// seconds.
func (b *bench) maxBatch() int {
	switch {
	case b.quick:
		return 4
	case b.onHost():
		return 32
	}
	return 128
}

// start runs a program with its log in the file, and returns its output.
func (c *child) start(ctx context.Context, program string, args ...string) (io.Reader, error) {
	log, err := os.Create(c.log)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the child has its own descriptor
	c.cmd = exec.CommandContext(ctx, program, args...)
	c.cmd.Cancel = func() error { return c.cmd.Process.Signal(syscall.SIGTERM) }
	c.cmd.WaitDelay = 10 * time.Second
	c.cmd.Stderr = log
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	c.cmd.Stdout = in
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	c.ended = make(chan struct{})
	go func() {
		c.err = c.cmd.Wait()
		close(c.ended)
	}()
	return out, nil
}

// await polls a path until the answer is 200.
func (c *child) await(path string) error {
	for end := time.Now().Add(readyWithin); time.Now().Before(end); {
		if r, err := newClient(c.addr).do(get(path), 0); err == nil && r.status == 200 {
			return nil
		}
		select {
		case <-c.ended:
			return fmt.Errorf("%s ended before it was ready: %v; its log is %s", c.name, c.err, c.log)
		case <-time.After(50 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s was not ready in %v; its log is %s", c.name, readyWithin, c.log)
}

// stop ends the process, by force if necessary, and waits for it.
func (c *child) stop() error {
	c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.ended:
	case <-time.After(30 * time.Second):
		c.cmd.Process.Kill()
		<-c.ended
		return errors.New(c.name + " did not end within 30 s of SIGTERM")
	}
	return c.err
}

// rss returns the resident memory of the process, in bytes.
func (c *child) rss() (float64, error) { return peer.Resident(strconv.Itoa(c.cmd.Process.Pid)) }

// cpu returns the CPU time of the process so far, 0 if there is no /proc.
func (c *child) cpu() time.Duration {
	text, _ := os.ReadFile(c.proc("stat"))
	_, rest, _ := strings.Cut(string(text), ") ") // after the name, which may contain spaces
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond // ticks are hundredths of a second
}

func (c *child) proc(file string) string {
	return filepath.Join("/proc", fmt.Sprint(c.cmd.Process.Pid), file)
}

// freePort returns a local port that was free a moment ago.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}
