package server

import (
	"bytes"
	"compress/lzw"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"testing"
)

// pngOf encodes a PNG file with these pixels.
func pngOf(t *testing.T, w, h int, at func(x, y int) []uint8) []byte {
	t.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			p := at(x, y)
			m.SetNRGBA(x, y, color.NRGBA{p[0], p[1], p[2], 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// chunk is a PNG chunk.
func chunk(name string, data []byte) []byte {
	b := append(binary.BigEndian.AppendUint32(nil, uint32(len(data))), name...)
	b = append(b, data...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

// pngFile is a PNG file with a header of width, height, bit depth and colour type, and these
// chunks.
func pngFile(w, h uint32, bits, kind uint8, chunks ...[]byte) []byte {
	head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)
	file := append([]byte("\x89PNG\r\n\x1a\n"), chunk("IHDR", append(head, bits, kind, 0, 0, 0))...)
	return append(append(file, bytes.Join(chunks, nil)...), chunk("IEND", nil)...)
}

func deflated(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	w.Write(data)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// gifOf encodes a two-colour GIF file with a single row of pixels.
func gifOf(t *testing.T, pixels ...uint8) []byte {
	t.Helper()
	var b bytes.Buffer
	w := lzw.NewWriter(&b, lzw.LSB, 8)
	w.Write(pixels)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	file := append([]byte("GIF89a\x00\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\x00\x00\x01\x00\x00\x08"), uint8(b.Len()))
	file[6], file[24] = uint8(len(pixels)), uint8(len(pixels))
	return append(append(file, b.Bytes()...), 0, ';')
}

// zeros is black pixel rows in compressed form: 1 kB per MB, repeated.
func zeros(t *testing.T, times int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	w.Write(make([]byte, 1<<20))
	w.Flush()
	n := b.Len()
	w.Write(make([]byte, 1<<20))
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return append(b.Bytes()[:n:n], bytes.Repeat(b.Bytes()[n:], times-1)...)
}

// with overwrites bytes in a copy of a file.
func with(file []byte, at int, bytes string) []byte {
	file = append([]byte(nil), file...)
	copy(file[at:], bytes)
	return file
}
