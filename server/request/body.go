// Package request takes requests apart within bounds: bodies have to arrive at a rate and
// to find room in memory, lists are not kept beyond what is asked for, and what is wrong
// is a *problem.Error in the words of whoever sent it. It knows no route.
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

// paced is a body that has to arrive at a rate, since one that trickles in holds a
// connection for the length of the whole deadline, and whose bytes have to find room
// as they come.
type paced struct {
	io.Closer
	body     io.Reader
	control  *http.ResponseController
	begin    time.Time
	last     time.Time           // when bytes came
	deadline time.Time           // of the request
	rate     int                 // bytes a second
	room     *semaphore.Weighted // bytes of all bodies in memory
	got      int64
	length   int64 // as announced, or negative
}

// Pacing is how a body has to arrive.
type Pacing struct {
	Most     int64               // bytes
	Rate     int                 // bytes a second after its first few seconds; 0 for any
	Deadline time.Time           // of the request
	Room     *semaphore.Weighted // bytes of all bodies in memory
}

// Pace makes the body of r arrive so from now on: one that does not fails while it is
// read. free gives the room of its bytes back when they are no longer needed.
func Pace(w http.ResponseWriter, r *http.Request, p Pacing) (free func()) {
	now := time.Now()
	body := &paced{Closer: r.Body, body: http.MaxBytesReader(w, r.Body, p.Most), control: http.NewResponseController(w),
		begin: now, last: now, deadline: p.Deadline, rate: p.Rate, room: p.Room, length: r.ContentLength}
	r.Body = body
	return func() { p.Room.Release(body.got) }
}

// grace is what a body may take before its rate counts, and between two of its bytes.
const grace = 5 * time.Second

// Read fails with a timeout when the bytes so far are too few for the time.
func (p *paced) Read(b []byte) (int, error) {
	p.until(p.due())
	n, err := p.body.Read(b)
	if !p.room.TryAcquire(int64(n)) {
		return 0, &problem.Error{Code: problem.Busy, Detail: "too many bytes of requests are in memory", After: time.Second}
	}
	p.last = time.Now()
	if p.got += int64(n); err == io.EOF || p.got == p.length {
		p.until(time.Time{}) // it is there; the server goes on reading, to see the client leave
	}
	return n, err
}

// due is when the next byte must be there.
func (p *paced) due() time.Time {
	if p.rate == 0 {
		return p.deadline
	}
	due := p.begin.Add(grace + time.Duration(float64(p.got)/float64(p.rate)*float64(time.Second)))
	for _, limit := range []time.Time{p.last.Add(grace), p.deadline} { // what came fast buys no long silence
		if due.After(limit) {
			due = limit
		}
	}
	return due
}

func (p *paced) until(t time.Time) {
	_ = p.control.SetReadDeadline(t) // a connection that has none is not slow
}

// announced is how much memory a body gets before its bytes are there, which is not
// counted as theirs: about what a connection takes in any case.
const announced = 32 << 10

// Whole reads a body to its end.
func Whole(r *http.Request) ([]byte, error) {
	b := bytes.NewBuffer(make([]byte, 0, min(max(r.ContentLength, 0), announced)+bytes.MinRead))
	if _, err := b.ReadFrom(r.Body); err != nil {
		return nil, bodyProblem(err)
	}
	return b.Bytes(), nil
}

// bodyProblem says why a body could not be read.
func bodyProblem(err error) error {
	var timeout net.Error
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return problem.Errorf(problem.SlowBody, "the body did not arrive in time")
	case problem.Of(err).Code == problem.Internal:
		return problem.Errorf(problem.BadRequest, "the body cannot be read: %v", err)
	}
	return err
}
