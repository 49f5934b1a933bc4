package dataset

import "encoding/binary"

// headReader decodes the fields of an index file's head one by one. After the first missing field
// bad is set and every further field is zero.
type headReader struct {
	p   []byte
	bad bool
}

func (h *headReader) uint() uint64 {
	v, n := binary.Uvarint(h.p)
	h.skip(n)
	return v
}

func (h *headReader) int() int64 {
	v, n := binary.Varint(h.p)
	h.skip(n)
	return v
}

func (h *headReader) skip(n int) {
	if n <= 0 || n > len(h.p) {
		h.bad, h.p = true, nil
		return
	}
	h.p = h.p[n:]
}

// count reads the number of items that follow, each of at least the given number of bytes.
func (h *headReader) count(bytes int) int {
	n := h.uint()
	if n > uint64(len(h.p)/bytes) {
		h.bad, n = true, 0
	}
	return int(n)
}

func (h *headReader) text() string {
	n := h.count(1)
	s := string(h.p[:n])
	h.p = h.p[n:]
	return s
}

// parseHead decodes what head wrote, which must belong to s.
func parseHead(p []byte, s *source) (*listing, error) {
	if len(p) == 0 || kind(p[0]) != s.kind {
		return nil, errDamaged
	}
	h := &headReader{p: p[1:]}
	if h.text() != s.path {
		return nil, errDamaged
	}
	x := &listing{table: &table{}}
	for range h.count(4) {
		x.parts = append(x.parts, part{name: h.text(), size: int64(h.uint()), modified: h.int(), inode: h.uint()})
	}
	for range h.count(1) {
		x.table.labels = append(x.table.labels, h.text())
	}
	if h.bad || len(h.p) > 0 {
		return nil, errDamaged
	}
	return x, nil
}
