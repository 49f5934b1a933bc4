package request

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/iotest"

	"vicreg/server/servertest"
)

// A body that is announced but never arrives takes little memory.
func TestAnnouncedBody(t *testing.T) {
	failed := errors.New("no more")
	r := &http.Request{ContentLength: 60 << 20, Body: io.NopCloser(iotest.ErrReader(failed))}
	var err error
	if n := servertest.Allocated(func() { _, err = Whole(r) }); err == nil || n > 64<<10 {
		t.Errorf("%v, %d bytes", err, n)
	}
}
