package dataset

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxFile limits the bytes read from one file.
const maxFile = 512 << 20

// ReadFile returns the raw bytes of image i from its file or shard.
func (s *Set) ReadFile(i int) ([]byte, error) {
	data, _, err := s.read(i, nil)
	return data, err
}

// read reads image i into buf, which grows as needed and is returned. mark identifies the state of
// the file; it is 0 for a member of a shard, which is refused if the shard has changed since it was
// indexed.
func (s *Set) read(i int, buf []byte) (data []byte, mark uint32, err error) {
	row := s.row(i)
	key, from := s.table.key(row), s.from(row)
	var where shard
	path := ""
	if from.kind == shards {
		name, _, _ := strings.Cut(key, "/")
		where = from.shard[name]
		path = where.path
	} else {
		path = from.file(key)
	}
	f, err := os.Open(path)
	if err != nil {
		return buf, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return buf, 0, err
	}
	if from.kind != shards {
		if data, err = fill(buf, f, 0, info.Size()); errors.Is(err, io.EOF) {
			err = nil // it has shrunk since; the decoder decides
		}
		return data, markOf(info.Size(), info.ModTime().UnixNano()), err
	}
	if info.Size() != where.size || info.ModTime().UnixNano() != where.modified {
		return buf, 0, fmt.Errorf("shard %s has changed since it was indexed", where.name)
	}
	data, err = fill(buf, f, s.table.offsets[row], s.table.files[row].size)
	return data, 0, err
}

// fill reads size bytes of r into buf, which grows as needed.
func fill(buf []byte, r io.ReaderAt, offset, size int64) ([]byte, error) {
	if size > maxFile {
		return buf, fmt.Errorf("file of %d bytes is over the limit of %d", size, maxFile)
	}
	if int64(cap(buf)) < size {
		buf = make([]byte, size)
	}
	n, err := r.ReadAt(buf[:size], offset)
	return buf[:n], err
}

// markOf returns a hash of a file's size and time, at least 2 (see unread and bad).
func markOf(size, modified int64) uint32 {
	return max(2, uint32(mix(mix(uint64(size))^uint64(modified))>>32))
}
