package dataset

import (
	"bufio"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// An index file consists of sections: eight bytes of length, that many bytes of body, and the
// CRC-32C of both. Numbers are little-endian.

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	errDamaged = errors.New("damaged")
)

// sectionWriter writes sections and keeps the first error.
type sectionWriter struct {
	w   *bufio.Writer
	sum uint32
	err error
}

func (s *sectionWriter) Write(p []byte) (int, error) {
	s.sum = crc32.Update(s.sum, castagnoli, p)
	if s.err == nil {
		_, s.err = s.w.Write(p)
	}
	return len(p), s.err
}

// section writes one section, whose body must have the announced length.
func (s *sectionWriter) section(length int, body func(w io.Writer)) {
	s.sum = 0
	s.Write(binary.LittleEndian.AppendUint64(nil, uint64(length)))
	body(s)
	s.Write(binary.LittleEndian.AppendUint32(nil, s.sum))
}

// sectionReader reads sections from a file of known size.
type sectionReader struct {
	r    *bufio.Reader
	left int64 // unread bytes of the file
}

// section copies the next section to the writer that room returns for its length, which never
// exceeds the rest of the file. room may return nil to refuse.
func (s *sectionReader) section(room func(length int64) io.Writer) error {
	head := make([]byte, 8)
	if err := s.take(head); err != nil {
		return err
	}
	length := binary.LittleEndian.Uint64(head)
	if s.left < 4 || length > uint64(s.left-4) {
		return errDamaged
	}
	sum := crc32.Checksum(head, castagnoli)
	w := room(int64(length))
	if w == nil {
		return errDamaged
	}
	piece := make([]byte, 48<<10) // a multiple of every record's size
	for rest := int64(length); rest > 0; rest -= int64(len(piece)) {
		piece = piece[:min(rest, int64(len(piece)))]
		if err := s.take(piece); err != nil {
			return err
		}
		sum = crc32.Update(sum, castagnoli, piece)
		w.Write(piece)
	}
	if err := s.take(head[:4]); err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(head) != sum {
		return errDamaged
	}
	return nil
}

func (s *sectionReader) take(p []byte) error {
	s.left -= int64(len(p))
	if s.left < 0 {
		return errDamaged
	}
	_, err := io.ReadFull(s.r, p)
	return err
}

// records adapts a function to a Writer; each call receives whole records.
type records func(p []byte)

func (f records) Write(p []byte) (int, error) {
	f(p)
	return len(p), nil
}
