package vectors

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"syscall"
)

// Journal is an append-only file with one record per image, in order: its vector, or why it has
// none. A record left unfinished by a kill is truncated when the journal is reopened. A Journal is
// not safe for concurrent use.
type Journal struct {
	f    *os.File
	w    *bufio.Writer
	info Info
	n    int    // number of records
	buf  []byte // scratch for one record
}

// magic starts every journal. A file that starts otherwise is not ours.
const magic = "vicreg vectors 1\n"

// A record is the length and the CRC-32C of its payload, each 4 bytes little-endian, followed by
// the payload: the byte vector or reason, then the vector's values or the text.
const (
	recordHead  = 8
	vector      = 'v'
	reason      = 'r'
	largestText = 1 << 16
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrOther reports a journal that belongs to another model, other images or other settings.
var ErrOther = errors.New("it was started with another model, other images or other settings")

// ErrForeign reports a file that is not a journal.
var ErrForeign = errors.New("not a vicreg journal")

// ErrInUse reports a journal that another process has open.
var ErrInUse = errors.New("another process is writing it")

// OpenJournal opens or creates the journal at path; Len is the number of images already done. Only
// one process at a time can have it open; the others get ErrInUse. Model, Source, Count and Bad of
// info are ignored; the rest must match what the journal was created with, or the error is
// ErrOther.
func OpenJournal(path string, info Info) (j *Journal, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, fmt.Errorf("open journal %s: %w", path, ErrInUse)
	}
	info = Info{Fingerprint: info.Fingerprint, Dim: info.Dim, Centered: info.Centered, Normalized: info.Normalized, Images: info.Images}
	j = &Journal{f: f, info: info}
	end, err := j.recover(f)
	if err != nil {
		return nil, fmt.Errorf("open journal %s: %w", path, err)
	}
	if err := errors.Join(f.Truncate(end), seek(f, end)); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	j.w = bufio.NewWriter(f)
	if end == 0 {
		header, err := json.Marshal(info)
		if err != nil {
			return nil, err
		}
		j.w.WriteString(magic)
		return j, j.append(header)
	}
	return j, nil
}

func seek(f *os.File, to int64) error {
	_, err := f.Seek(to, io.SeekStart)
	return err
}

// recover counts the complete records in the file and returns the offset at which they end.
func (j *Journal) recover(file io.Reader) (end int64, err error) {
	want, err := json.Marshal(j.info)
	if err != nil {
		return 0, err
	}
	r := bufio.NewReader(file)
	begin := make([]byte, len(magic))
	n, err := io.ReadFull(r, begin)
	if string(begin[:n]) != magic[:n] {
		return 0, ErrForeign
	}
	if err != nil {
		return 0, unlessTorn(err) // the header is incomplete
	}
	header, err := j.next(r)
	if err != nil {
		return 0, unlessTorn(err)
	}
	if !bytes.Equal(header, want) {
		return 0, ErrOther
	}
	end = int64(len(magic)) + recordHead + int64(len(header))
	for {
		payload, err := j.next(r)
		if err != nil {
			return end, unlessTorn(err)
		}
		end += recordHead + int64(len(payload))
		j.n++
	}
}

var errTorn = errors.New("record is truncated or damaged")

// unlessTorn returns nil for errors that end a journal and err for others, after which the records
// may still be there.
func unlessTorn(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF || err == errTorn {
		return nil
	}
	return err
}

// next reads a record's payload, which is valid until the next call to next.
func (j *Journal) next(r io.Reader) ([]byte, error) {
	var head [recordHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n == 0 || n > uint32(max(largestText, 4*j.info.Dim))+1 {
		return nil, errTorn
	}
	if cap(j.buf) < int(n) {
		j.buf = make([]byte, n)
	}
	payload := j.buf[:n]
	if _, err := io.ReadFull(r, payload); err != nil {
		return nil, err
	}
	if crc32.Checksum(payload, castagnoli) != binary.LittleEndian.Uint32(head[4:]) {
		return nil, errTorn
	}
	return payload, nil
}

func (j *Journal) append(payload []byte) error {
	var head [recordHead]byte
	binary.LittleEndian.PutUint32(head[:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(head[4:], crc32.Checksum(payload, castagnoli))
	j.w.Write(head[:])
	if _, err := j.w.Write(payload); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

// Len returns the number of images done.
func (j *Journal) Len() int { return j.n }

// Add records the vector [D] of the next image.
func (j *Journal) Add(v []float32) error {
	j.n++
	return j.append(Append([]byte{vector}, v))
}

// AddBad records why the next image has no vector.
func (j *Journal) AddBad(why string) error {
	j.n++
	return j.append(append([]byte{reason}, why[:min(len(why), largestText)]...))
}

// Flush hands the added records to the operating system, so that they survive a kill of the
// process.
func (j *Journal) Flush() error { return j.w.Flush() }

// All calls each for every record in order, with either the vector, valid only during the call, or
// the reason why the image has none.
func (j *Journal) All(each func(i int, v []float32, bad string) error) error {
	if err := j.Flush(); err != nil {
		return err
	}
	if err := seek(j.f, int64(len(magic))); err != nil {
		return err
	}
	defer j.f.Seek(0, io.SeekEnd)
	r := bufio.NewReader(j.f)
	if _, err := j.next(r); err != nil {
		return fmt.Errorf("read journal: %w", err)
	}
	v := make([]float32, j.info.Dim)
	for i := range j.n {
		payload, err := j.next(r)
		if err != nil {
			return fmt.Errorf("read journal: record %d: %w", i, err)
		}
		switch {
		case payload[0] == reason:
			err = each(i, nil, string(payload[1:]))
		case len(payload) == 1+4*len(v):
			decode(v, payload[1:])
			err = each(i, v, "")
		default:
			err = errTorn
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Close flushes the added records and closes the file.
func (j *Journal) Close() error { return errors.Join(j.w.Flush(), j.f.Close()) }
