package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// reply is an answer. Its memory is reused for the next one on the connection.
type reply struct {
	begun  bool // at least one byte arrived
	status int
	head   []byte // the lines of the header
	body   []byte
}

// read reads the next answer from a connection. After an error, begun reports whether any of the
// answer arrived.
func (r *reply) read(in *bufio.Reader) error {
	r.begun, r.status = false, 0
	if _, err := in.Peek(1); err != nil {
		return err
	}
	r.begun = true
	for r.status < 200 { // informational answers precede the real one
		if err := r.readHead(in); err != nil {
			return fmt.Errorf("read the header of an answer: %w", err)
		}
	}
	if err := r.readBody(in); err != nil {
		return fmt.Errorf("read the body of an answer: %w", err)
	}
	return nil
}

func (r *reply) readHead(in *bufio.Reader) (err error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) {
		return fmt.Errorf("%q is no status line", line)
	}
	if r.status, err = strconv.Atoi(string(line[9:12])); err != nil || r.status < 100 {
		return fmt.Errorf("%q has no status", line)
	}
	for r.head = r.head[:0]; ; {
		if line, err = in.ReadSlice('\n'); err != nil {
			return err
		}
		if len(line) <= 2 {
			return nil
		}
		r.head = append(r.head, line...)
	}
}

// header returns the value of a header, "" if absent.
func (r *reply) header(name string) string {
	for rest := r.head; len(rest) > 0; {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\n"))
		if len(line) > len(name) && line[len(name)] == ':' && bytes.EqualFold(line[:len(name)], []byte(name)) {
			return string(bytes.TrimSpace(line[len(name)+1:]))
		}
	}
	return ""
}

func (r *reply) readBody(in *bufio.Reader) (err error) {
	r.body = r.body[:0]
	if length := r.header("Content-Length"); length != "" {
		n, err := strconv.Atoi(length)
		if err != nil || n < 0 || n > 1<<28 {
			return fmt.Errorf("Content-Length %q", length)
		}
		return r.take(in, n)
	}
	if strings.EqualFold(r.header("Transfer-Encoding"), "chunked") {
		return r.readChunks(in)
	}
	if r.status == 204 || r.status == 304 {
		return nil
	}
	rest, err := io.ReadAll(in) // until the connection closes
	r.body = append(r.body, rest...)
	return err
}

// take appends n bytes to the body.
func (r *reply) take(in *bufio.Reader, n int) error {
	have := len(r.body)
	r.body = slices.Grow(r.body, n)[:have+n]
	_, err := io.ReadFull(in, r.body[have:])
	return err
}

func (r *reply) readChunks(in *bufio.Reader) error {
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		n, err := strconv.ParseUint(string(bytes.TrimSpace(line)), 16, 28)
		if err != nil {
			return fmt.Errorf("%q is no length of a chunk", line)
		}
		if err := r.take(in, int(n)); err != nil {
			return err
		}
		if line, err = in.ReadSlice('\n'); err != nil {
			return err
		}
		if len(line) > 2 {
			return errors.New("a chunk is longer than it says")
		}
		if n == 0 { // this server sends no trailers
			return nil
		}
	}
}

// closes reports whether the connection ends with this answer.
func (r *reply) closes() bool { return strings.EqualFold(r.header("Connection"), "close") }

// spans returns decode, queue and infer of a Server-Timing header, in milliseconds.
func spans(header string) (ms [3]float32) {
	for entry := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(entry), ";dur=")
		i := slices.Index([]string{"decode", "queue", "infer"}, name)
		if v, err := strconv.ParseFloat(value, 32); err == nil && i >= 0 {
			ms[i] = float32(v)
		}
	}
	return ms
}

// promises returns when to retry, by Retry-After-Ms and by Retry-After; 0 for an absent header.
func (r *reply) promises() (fine, whole time.Duration) {
	ms, _ := strconv.ParseFloat(r.header("Retry-After-Ms"), 64)
	s, _ := strconv.ParseFloat(r.header("Retry-After"), 64)
	return time.Duration(ms * float64(time.Millisecond)), time.Duration(s * float64(time.Second))
}
