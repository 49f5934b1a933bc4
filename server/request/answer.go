package request

import (
	"context"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/semaphore"

	"vicreg/server/problem"
)

// Answers is the room for answers in memory, whose clients may read them as slowly as they
// like, or not at all.
type Answers struct {
	room *semaphore.Weighted
	all  int64
}

// NewAnswers is room for so many bytes.
func NewAnswers(bytes int64) *Answers {
	return &Answers{semaphore.NewWeighted(bytes), bytes}
}

// held is what the answer to a request has of the room.
type held struct {
	of    *Answers
	bytes int64
}

const heldKey = "request.held" // in the context of a request

// Serve lets the answer to a request take room from now on. free gives it back, when the
// answer is written or will not be.
func (a *Answers) Serve(c echo.Context) (free func()) {
	h := &held{of: a}
	c.Set(heldKey, h)
	return func() { a.room.Release(h.bytes) }
}

// holdPatience is how long an answer waits for room: those who read theirs make it.
const holdPatience = time.Second

// Hold takes room for so many more bytes of the answer, before it begins, and waits for it
// a little. Without any the client is to come again: the others' answers are in memory.
// One larger than all the room is let have that.
func Hold(c echo.Context, bytes int64) error {
	h, ok := c.Get(heldKey).(*held)
	if !ok { // of a route whose answers are small
		return nil
	}
	bytes = min(bytes, h.of.all-h.bytes)
	ctx, cancel := context.WithTimeout(c.Request().Context(), holdPatience)
	defer cancel()
	if h.of.room.Acquire(ctx, bytes) != nil {
		return &problem.Error{Code: problem.Busy, Detail: "there is no room in memory for the answer beside those that are being sent", After: time.Second}
	}
	h.bytes += bytes
	return nil
}
