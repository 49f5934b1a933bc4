package dataset

import (
	"bufio"
	"encoding/binary"
	"io"
	"math"
	"path/filepath"
	"strings"
)

// indexMagic begins an index file; its last digit is the version of the format.
const indexMagic = "vicreg index 3\n"

// writeIndex writes the listing of a source.
func writeIndex(w io.Writer, s *source, x *listing) error {
	buffered := bufio.NewWriterSize(w, 64<<10)
	out := &sectionWriter{w: buffered}
	out.Write([]byte(indexMagic))
	t := x.table
	head := head(s, x)
	out.section(len(head), func(w io.Writer) { w.Write(head) })
	out.section(len(t.keys), func(w io.Writer) { io.WriteString(w, t.keys) })
	column(out, t.ends, 4, binary.LittleEndian.AppendUint32)
	column(out, t.files, fileBytes, func(p []byte, f file) []byte {
		p = binary.LittleEndian.AppendUint64(p, uint64(f.size))
		p = binary.LittleEndian.AppendUint64(p, uint64(f.modified))
		p = binary.LittleEndian.AppendUint32(p, f.w)
		return binary.LittleEndian.AppendUint32(p, f.h)
	})
	column(out, t.label, 4, binary.LittleEndian.AppendUint32)
	column(out, t.offsets, 8, func(p []byte, o int64) []byte { return binary.LittleEndian.AppendUint64(p, uint64(o)) })
	if out.err != nil {
		return out.err
	}
	return buffered.Flush()
}

// fileBytes is the encoded size of a file record.
const fileBytes = 24

// column writes a section of fixed-size records.
func column[T any](out *sectionWriter, values []T, size int, appendTo func([]byte, T) []byte) {
	out.section(size*len(values), func(w io.Writer) {
		var piece []byte
		for _, v := range values {
			if piece = appendTo(piece, v); len(piece) >= 16<<10 {
				w.Write(piece)
				piece = piece[:0]
			}
		}
		w.Write(piece)
	})
}

// head encodes the source's identity and the small tables: parts and labels.
func head(s *source, x *listing) []byte {
	text := func(p []byte, s string) []byte { return append(binary.AppendUvarint(p, uint64(len(s))), s...) }
	p := text([]byte{byte(s.kind)}, s.path)
	p = binary.AppendUvarint(p, uint64(len(x.parts)))
	for _, part := range x.parts {
		p = binary.AppendUvarint(text(p, part.name), uint64(part.size))
		p = binary.AppendUvarint(binary.AppendVarint(p, part.modified), part.inode)
	}
	p = binary.AppendUvarint(p, uint64(len(x.table.labels)))
	for _, l := range x.table.labels {
		p = text(p, l)
	}
	return p
}

// readIndex reads an index file of the given size, which must belong to s and be fully consistent.
// It allocates little more memory than the file has bytes.
func readIndex(r io.Reader, size int64, s *source) (*listing, error) {
	in := &sectionReader{r: bufio.NewReaderSize(r, 64<<10), left: size}
	magic := make([]byte, len(indexMagic))
	if err := in.take(magic); err != nil || string(magic) != indexMagic {
		return nil, errDamaged
	}
	var first []byte
	err := in.section(func(int64) io.Writer { return records(func(p []byte) { first = append(first, p...) }) })
	if err != nil {
		return nil, err
	}
	x, err := parseHead(first, s)
	if err != nil {
		return nil, err
	}
	t := x.table
	var keys strings.Builder
	if err := in.section(func(n int64) io.Writer { return room(&keys, n) }); err != nil {
		return nil, err
	}
	t.keys = keys.String()
	if t.ends, err = columnOf(in, 4, binary.LittleEndian.Uint32); err != nil {
		return nil, err
	}
	t.files, err = columnOf(in, fileBytes, func(p []byte) file {
		return file{int64(binary.LittleEndian.Uint64(p)), int64(binary.LittleEndian.Uint64(p[8:])),
			binary.LittleEndian.Uint32(p[16:]), binary.LittleEndian.Uint32(p[20:])}
	})
	if err != nil {
		return nil, err
	}
	if t.label, err = columnOf(in, 4, binary.LittleEndian.Uint32); err != nil {
		return nil, err
	}
	if t.offsets, err = columnOf(in, 8, func(p []byte) int64 { return int64(binary.LittleEndian.Uint64(p)) }); err != nil {
		return nil, err
	}
	if in.left != 0 || !x.sound(s) {
		return nil, errDamaged
	}
	return x, nil
}

func room(b *strings.Builder, n int64) io.Writer {
	if n > math.MaxUint32 {
		return nil
	}
	b.Grow(int(n))
	return b
}

// columnOf reads a section of fixed-size records; an empty section yields nil.
func columnOf[T any](in *sectionReader, size int, parse func([]byte) T) (values []T, err error) {
	err = in.section(func(n int64) io.Writer {
		if n%int64(size) != 0 {
			return nil
		}
		if n > 0 {
			values = make([]T, 0, n/int64(size))
		}
		return records(func(p []byte) {
			for ; len(p) > 0; p = p[size:] {
				values = append(values, parse(p))
			}
		})
	})
	return values, err
}

// sound reports whether the parts of an index are consistent with each other and with the kind of
// source: checksums detect corruption, but not a file that was wrong when it was written.
func (x *listing) sound(s *source) bool {
	t := x.table
	n := len(t.ends)
	labelled, placed := s.kind != tree, s.kind == shards
	if len(t.files) != n || len(t.label) != n && labelled || len(t.label) > 0 && !labelled ||
		len(t.offsets) != n && placed || len(t.offsets) > 0 && !placed {
		return false
	}
	names := map[string]bool{}
	for _, p := range x.parts {
		names[p.name] = true
	}
	for row := range n {
		if row > 0 && t.ends[row] < t.ends[row-1] || int(t.ends[row]) > len(t.keys) {
			return false
		}
		key := t.key(row)
		switch {
		case row > 0 && key <= t.key(row-1), t.files[row].size < 0:
			return false
		case labelled && int(t.label[row]) >= len(t.labels):
			return false
		case s.kind == tree && !(names[parentOf(key)] && filepath.IsLocal(key)):
			return false
		case placed && (t.offsets[row] < 0 || !names[key[:max(0, strings.IndexByte(key, '/'))]]):
			return false
		}
	}
	return n == 0 && t.keys == "" || n > 0 && int(t.ends[n-1]) == len(t.keys)
}
