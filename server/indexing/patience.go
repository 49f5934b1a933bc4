package indexing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"vicreg/pipeline/bulk"
	"vicreg/pipeline/usage"
)

// How long a request is retried while the server is overloaded or away, with pauses of
// pauseBetween unless the server names others.
const (
	patience     = 10 * time.Minute
	pauseBetween = time.Second
)

// A server answers within its deadline, or hangs up after twice that. A request on which nothing
// moves for deadlines times that, and at least for leastSilence, is lost.
const (
	leastSilence = 3 * time.Minute
	deadlines    = 3
)

var errSilent = errors.New("the server is silent")

// expect adapts the client to a server's deadline.
func (c *client) expect(seconds float64) {
	const most = 24 * 60 * 60 // what a server says may be nonsense
	c.silence = max(leastSilence, deadlines*time.Duration(min(seconds, most)*float64(time.Second)))
}

// tries is what it took to get an answer.
type tries struct {
	waited time.Duration
	lost   bool // an answer was lost: the server may have done what it was asked
}

func (t tries) String() string {
	return fmt.Sprintf("given up after %v", max(t.waited, time.Second).Round(time.Second))
}

// persist sends a request until the answer is final or patience runs out. To send a request twice
// must be harmless: those of this package read, or store or delete items by their ids.
func (c *client) persist(ctx context.Context, method, target string, text []byte) (*answer, tries, error) {
	server := c.base.Redacted()
	for t := (tries{}); ; {
		begin := time.Now()
		a, err := c.send(ctx, method, target, text)
		if err = c.explain(a, err); err != nil && (ctx.Err() != nil || !passing(err)) {
			return nil, t, err
		}
		wait, why := pauseBetween, err
		if err == nil {
			wait, why = a.after(), a.read(nil)
		} else {
			t.lost = true
		}
		if wait > 0 { // what was sent in vain counts as waiting, too
			t.waited += time.Since(begin)
		}
		over := (t.waited + wait).Truncate(time.Second) > patience
		switch {
		case wait == 0:
			c.outage.over(server)
			return a, t, nil
		case over && err != nil:
			return nil, t, fmt.Errorf("%w; %s: when the server is there again, give the same command", err, t)
		case over:
			return a, t, nil
		case err != nil || a.status != http.StatusTooManyRequests: // a busy server is nothing to speak of
			c.outage.begun(server, why)
		}
		t.waited += wait
		if err := c.pause(ctx, wait); err != nil {
			return nil, t, err
		}
	}
}

// passing reports whether an error may be due to a server, or a machine, that restarts.
func passing(err error) bool {
	for _, e := range []error{errSilent, io.EOF, io.ErrUnexpectedEOF, syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE, syscall.EHOSTUNREACH} {
		if errors.Is(err, e) {
			return true
		}
	}
	var slow net.Error
	return errors.As(err, &slow) && slow.Timeout()
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// outage tells the user when a client begins to wait for its server, and when it no longer does.
type outage struct {
	stderr io.Writer

	mu  sync.Mutex
	now bool
}

func (o *outage) begun(server string, why error) {
	o.say(true, fmt.Sprintf("waiting up to %v for the server at %s: %s", patience, server, usage.Line(why.Error())))
}

func (o *outage) over(server string) {
	o.say(false, fmt.Sprintf("the server at %s answers again", server))
}

func (o *outage) say(now bool, line string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.now == now {
		return
	}
	o.now = now
	bulk.NewLine(o.stderr).Clear()
	fmt.Fprintln(o.stderr, line)
}

// moved calls a function whenever bytes go through.
type moved struct {
	io.Reader
	call func()
}

func (m moved) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	if n > 0 {
		m.call()
	}
	return n, err
}
