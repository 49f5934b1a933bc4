package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
)

// picture is a JPEG file.
type picture struct {
	name string
	data []byte
}

// readPictures reads the JPEG files of a folder, sorted by name.
func readPictures(folder string) (all []picture, err error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.jpg")) // sorted
	if err != nil || len(paths) == 0 {
		return nil, fmt.Errorf("no JPEG files in %q", folder)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		all = append(all, picture{filepath.Base(path), data})
	}
	return all, nil
}

// nearest returns the image whose file size is nearest to size.
func nearest(all []picture, size int) picture {
	off := func(p picture) int { return max(len(p.data)-size, size-len(p.data)) }
	return slices.MinFunc(all, func(a, b picture) int { return off(a) - off(b) })
}

// tiny returns an image that takes no time to decode.
func tiny() picture {
	m := image.NewRGBA(image.Rect(0, 0, 32, 32))
	for y := range 32 {
		for x := range 32 {
			m.Set(x, y, color.RGBA{uint8(8 * x), uint8(8 * y), uint8(x * y), 255})
		}
	}
	var b bytes.Buffer
	jpeg.Encode(&b, m, nil) // cannot fail in memory
	return picture{"tiny", b.Bytes()}
}

// spoiled returns files that no server should accept as an image: each is refused on its own.
func spoiled(p picture) map[string][]byte {
	return map[string][]byte{
		"truncated": p.data[:len(p.data)/2],
		"text":      []byte("this is no picture"),
		"headless":  p.data[len(p.data)/2:],
		"bomb":      bomb(30_000),
	}
}

// flipped returns a file with some bits flipped in its second half; it may still be an image.
func flipped(p picture, seed uint64) []byte {
	r, out := rand.New(rand.NewPCG(seed, 2)), slices.Clone(p.data)
	for range 20 {
		out[len(out)/2+r.IntN(len(out)/2)] ^= 1 << r.IntN(8)
	}
	return out
}

// bomb returns a PNG file of a few bytes that claims side x side pixels.
func bomb(side uint32) []byte {
	out := []byte("\x89PNG\r\n\x1a\n")
	chunk := func(name string, data []byte) {
		body := append([]byte(name), data...)
		out = binary.BigEndian.AppendUint32(out, uint32(len(data)))
		out = append(out, body...)
		out = binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(body))
	}
	header := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, side), side)
	chunk("IHDR", append(header, 8, 2, 0, 0, 0))
	chunk("IDAT", []byte("\x78\x9c\x03\x00\x00\x00\x00\x01"))
	chunk("IEND", nil)
	return out
}
