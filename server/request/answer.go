package request

import (
	"context"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/semaphore"

	"vicreg/server/problem"
)

// Answers is a memory budget for answers, which clients may read as slowly as they like, or not at
// all.
type Answers struct {
	room *semaphore.Weighted
	all  int64
}

// NewAnswers returns a budget of the given number of bytes.
func NewAnswers(bytes int64) *Answers {
	return &Answers{semaphore.NewWeighted(bytes), bytes}
}

// held is the part of the budget that the answer to one request holds.
type held struct {
	of    *Answers
	bytes int64
}

const heldKey = "request.held" // in the context of a request

// Serve lets the answer to a request use the budget from now on. free releases what it holds, and
// is called once the answer is written or has been given up.
func (a *Answers) Serve(c echo.Context) (free func()) {
	h := &held{of: a}
	c.Set(heldKey, h)
	return func() { a.room.Release(h.bytes) }
}

// holdPatience is how long an answer waits for memory that other clients release by reading theirs.
const holdPatience = time.Second

// Hold reserves more bytes for the answer, before it begins, waiting briefly if the budget is used
// up. If that fails the client is told to retry later, since other answers fill the memory. An
// answer larger than the whole budget is granted all of it.
func Hold(c echo.Context, bytes int64) error {
	h, ok := c.Get(heldKey).(*held)
	if !ok { // the route's answers are small
		return nil
	}
	bytes = min(bytes, h.of.all-h.bytes)
	ctx, cancel := context.WithTimeout(c.Request().Context(), holdPatience)
	defer cancel()
	if h.of.room.Acquire(ctx, bytes) != nil {
		return &problem.Error{Code: problem.Busy, Detail: "not enough memory for the answer while others are being sent", After: time.Second}
	}
	h.bytes += bytes
	return nil
}
