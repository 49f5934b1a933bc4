// Package request parses requests within bounds: bodies must arrive at a minimum rate and fit into
// a memory budget, lists are truncated at their limits, and errors are *problem.Error in the
// client's terms. It is independent of the routes.
package request

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/semaphore"

	"vicreg/server/problem"
)

// paced is a body that must arrive at a minimum rate, since one that trickles in would hold a
// connection until the deadline, and whose bytes are charged to a memory budget as they come.
type paced struct {
	io.Closer
	body     io.Reader
	control  *http.ResponseController
	begin    time.Time
	last     time.Time           // when the latest bytes arrived
	deadline time.Time           // of the request
	rate     int                 // bytes per second
	room     *semaphore.Weighted // bytes of all bodies in memory
	got      int64
	length   int64 // Content-Length, or negative if unknown
}

// Pacing says how a body has to arrive.
type Pacing struct {
	Most     int64               // maximum bytes
	Rate     int                 // minimum bytes per second after the first few seconds; 0 for no minimum
	Deadline time.Time           // of the request
	Room     *semaphore.Weighted // bytes of all bodies in memory
}

// Pace applies p to the body of r from now on: reading a body that breaks the rules fails. free
// returns its bytes to the memory budget when they are no longer needed.
func Pace(w http.ResponseWriter, r *http.Request, p Pacing) (free func()) {
	now := time.Now()
	body := &paced{Closer: r.Body, body: http.MaxBytesReader(w, r.Body, p.Most), control: http.NewResponseController(w),
		begin: now, last: now, deadline: p.Deadline, rate: p.Rate, room: p.Room, length: r.ContentLength}
	r.Body = body
	return func() { p.Room.Release(body.got) }
}

// grace is the time before a body's rate is enforced, and the longest gap between two of its bytes.
const grace = 5 * time.Second

// Read fails with a timeout if too few bytes have arrived for the time elapsed.
func (p *paced) Read(b []byte) (int, error) {
	p.until(p.due())
	n, err := p.body.Read(b)
	if !p.room.TryAcquire(int64(n)) {
		return 0, &problem.Error{Code: problem.Busy, Detail: "the requests in progress take too much memory", After: time.Second}
	}
	p.last = time.Now()
	if p.got += int64(n); err == io.EOF || p.got == p.length {
		p.until(time.Time{}) // the body is complete; the server reads on to notice the client disconnecting
	}
	return n, err
}

// due is the deadline for the next byte.
func (p *paced) due() time.Time {
	if p.rate == 0 {
		return p.deadline
	}
	due := p.begin.Add(grace + time.Duration(float64(p.got)/float64(p.rate)*float64(time.Second)))
	for _, limit := range []time.Time{p.last.Add(grace), p.deadline} { // a fast start does not excuse a long gap
		if due.After(limit) {
			due = limit
		}
	}
	return due
}

func (p *paced) until(t time.Time) {
	_ = p.control.SetReadDeadline(t) // not every connection supports deadlines
}

// announced caps the buffer that is allocated on the strength of Content-Length. It is not charged
// to the memory budget: a connection takes about as much anyway.
const announced = 32 << 10

// Whole reads a body to its end.
func Whole(r *http.Request) ([]byte, error) {
	b := bytes.NewBuffer(make([]byte, 0, min(max(r.ContentLength, 0), announced)+bytes.MinRead))
	if _, err := b.ReadFrom(r.Body); err != nil {
		return nil, bodyProblem(err)
	}
	return b.Bytes(), nil
}

// bodyProblem translates the error of reading a body.
func bodyProblem(err error) error {
	var timeout net.Error
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return problem.Errorf(problem.SlowBody, "the body did not arrive in time")
	case problem.Of(err).Code == problem.Internal:
		return problem.Errorf(problem.BadRequest, "cannot read the body: %v", err)
	}
	return err
}
