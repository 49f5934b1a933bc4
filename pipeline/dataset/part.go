package dataset

import (
	"io/fs"
	"syscall"
	"time"
)

// part is a unit of a source that is read as a whole: a folder of a tree, a shard, a list. An index
// is valid as long as its parts are unchanged.
type part struct {
	name           string // folder: path below the root, "" for the root; shard: its file name; list: ""
	size, modified int64
	inode          uint64
}

// unsettled is the time of a part that must be read again next time.
const unsettled = -1 << 63

// settling is the time for which a part must have been unmodified before its timestamp can be
// trusted: a change within the same tick of a file system's clock leaves no trace, and FAT's ticks
// are two seconds.
const settling = 2 * time.Second

// stateOf describes the state of a part at the time now, before it is read.
func stateOf(name string, info fs.FileInfo, now time.Time) part {
	p := part{name: name, modified: info.ModTime().UnixNano()}
	if !info.IsDir() {
		p.size = info.Size()
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		p.inode = st.Ino // detects another folder moved into this one's place
	}
	if info.ModTime().After(now.Add(-settling)) {
		p.modified = unsettled
	}
	return p
}

// holds reports whether a part is unchanged since p was recorded.
func (p part) holds(now part) bool { return p.modified != unsettled && p == now }
