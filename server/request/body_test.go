package request

import (
	"errors"
	"io"
	"net/http"
	"runtime"
	"testing"
	"testing/iotest"
)

// A body that is announced and does not come takes little memory.
func TestAnnouncedBody(t *testing.T) {
	failed := errors.New("no more")
	r := &http.Request{ContentLength: 60 << 20, Body: io.NopCloser(iotest.ErrReader(failed))}
	var err error
	if n := allocated(func() { _, err = Whole(r) }); err == nil || n > 64<<10 {
		t.Errorf("%v, %d bytes", err, n)
	}
}

// allocated is how many bytes f allocates in all, also those that are free again.
func allocated(f func()) int {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc - before.TotalAlloc)
}
