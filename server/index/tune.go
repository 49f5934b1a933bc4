package index

import (
	"os"
	"runtime/debug"
)

// By default the garbage collector lets garbage grow to the size of the live heap: with the
// vectors in memory, to their size. A fraction of that is plenty, since vectors hold no pointers
// and cost the collector nothing.
const (
	tuneFrom  = 64 << 20  // bytes in indexes
	leastRoom = 32 << 20  // bytes of garbage
	others    = 100 << 20 // bytes that the rest of a program may take
)

// tune sets the collector's percentage for the given bytes in indexes, unless GOGC is set.
func tune(bytes int64) {
	if bytes < tuneFrom || os.Getenv("GOGC") != "" {
		return
	}
	room := max(leastRoom, bytes/8)
	debug.SetGCPercent(int(max(5, 100*room/(bytes+others))))
}
