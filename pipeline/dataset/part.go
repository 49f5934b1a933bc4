package dataset

import (
	"io/fs"
	"syscall"
	"time"
)

// part is a piece of a source that is read as a whole: a folder of a tree, a
// shard, a list. An index holds as long as its parts are what they were.
type part struct {
	name           string // folder: path below the root, "" for the root; shard: its file name; list: ""
	size, modified int64
	inode          uint64
}

// unsettled is the time of a part that must be read again next time.
const unsettled = -1 << 63

// settling is how long a part must have been left alone before its time can be
// trusted: a change within the same tick of a file system's clock leaves no trace,
// and FAT's ticks are two seconds.
const settling = 2 * time.Second

// stateOf describes a part as it is at the time now, before it is read.
func stateOf(name string, info fs.FileInfo, now time.Time) part {
	p := part{name: name, modified: info.ModTime().UnixNano()}
	if !info.IsDir() {
		p.size = info.Size()
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		p.inode = st.Ino // tells a folder from another that was moved into its place
	}
	if info.ModTime().After(now.Add(-settling)) {
		p.modified = unsettled
	}
	return p
}

// holds says that a part is still what it was when p was made.
func (p part) holds(now part) bool { return p.modified != unsettled && p == now }
