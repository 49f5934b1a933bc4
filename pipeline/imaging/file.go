package imaging

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// file provides random access to a file: without a copy if it is in memory, else through a buffer
// that fits most headers whole.
type file struct {
	data []byte // the whole file, if it is in memory
	size int64

	r    io.ReaderAt
	room []byte // the buffer
	buf  []byte // the filled part of room
	at   int64  // its offset in the file

	failed error // the last error of r other than io.EOF
}

var errHeaderCut = errors.New("file is truncated within its header")

// bytes returns the n bytes at off, valid until the next call; n is at most the length of the
// buffer.
func (f *file) bytes(off int64, n int) ([]byte, error) {
	if off < 0 || off > f.size-int64(n) {
		return nil, errHeaderCut
	}
	if f.r == nil {
		return f.data[off : off+int64(n)], nil
	}
	if off < f.at || off+int64(n) > f.at+int64(len(f.buf)) {
		if err := f.load(off, n); err != nil {
			return nil, err
		}
	}
	return f.buf[off-f.at:][:n], nil
}

// load fills the buffer starting at off, with at least n bytes.
func (f *file) load(off int64, n int) error {
	got, err := f.r.ReadAt(f.room[:min(int64(len(f.room)), f.size-off)], off)
	f.buf, f.at = f.room[:got], off
	switch {
	case got >= n:
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return errHeaderCut // the file has shrunk
	default:
		f.failed = fmt.Errorf("read header: %w", err)
		return f.failed
	}
}

// number reads an unsigned integer of 1 to 4 bytes.
func (f *file) number(off int64, n int, order binary.ByteOrder) (int64, error) {
	b, err := f.bytes(off, n)
	if err != nil {
		return 0, err
	}
	var v [4]byte
	if order == binary.ByteOrder(binary.BigEndian) {
		copy(v[4-n:], b)
		return int64(binary.BigEndian.Uint32(v[:])), nil
	}
	copy(v[:], b)
	return int64(binary.LittleEndian.Uint32(v[:])), nil
}
