package dataset

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"testing"
)

// mended returns an index file with all checksums corrected, so that fuzzing reaches the code
// behind them.
func mended(data []byte) []byte {
	data = bytes.Clone(data)
	rest := data[min(len(data), len(indexMagic)):]
	for len(rest) >= 12 {
		length := binary.LittleEndian.Uint64(rest)
		if length > uint64(len(rest)-12) {
			length = uint64(len(rest) - 12)
			binary.LittleEndian.PutUint64(rest, length)
		}
		end := 8 + int(length)
		binary.LittleEndian.PutUint32(rest[end:], crc32.Checksum(rest[:end], castagnoli))
		rest = rest[end+4:]
	}
	return data
}

// FuzzIndex checks that every accepted file is fully usable, and is reproduced when it is written
// again.
func FuzzIndex(f *testing.F) {
	data, s, _ := saved(f)
	f.Add(data, byte(shards))
	f.Add(data[:len(data)-30], byte(shards))
	t := &source{kind: tree, path: s.path}
	b := builder{}
	b.name("x/a.jpg")
	b.name("x/b.jpg")
	table, err := b.finish()
	if err != nil {
		f.Fatal(err)
	}
	var w bytes.Buffer
	if err := writeIndex(&w, t, &listing{table: table, parts: []part{{name: ""}, {name: "x"}}}); err != nil {
		f.Fatal(err)
	}
	f.Add(w.Bytes(), byte(tree))
	f.Fuzz(func(t *testing.T, data []byte, k byte) {
		s := &source{kind: kind(k), path: s.path}
		for _, file := range [][]byte{data, mended(data)} {
			x, err := parse(file, s)
			if err != nil {
				continue
			}
			set := &Set{sources: []*source{s}, table: x.table}
			for i := range set.Len() {
				set.Key(i)
				set.Label(i)
				set.Entry(i)
			}
			set.Split(0.5)
			var w bytes.Buffer
			if err := writeIndex(&w, s, x); err != nil {
				t.Fatal(err)
			}
			if again, err := parse(w.Bytes(), s); err != nil || again.table.keys != x.table.keys || len(again.parts) != len(x.parts) {
				t.Fatalf("written again it is not read: %v", err)
			}
		}
	})
}

// FuzzShard checks that in every accepted tar file the bytes at an image's offset are those that
// unpacking would produce.
func FuzzShard(f *testing.F) {
	f.Add(pack(f, member{name: "./b/2.png", text: picture(2)}, member{name: "b/2.cls", text: " cat\n"}, member{name: "1.JPG", text: "x"}))
	f.Add(pack(f, member{name: string(bytes.Repeat([]byte("long/"), 40)) + "x.png", text: picture(1)}, member{name: "ä.gif", text: "y"}))
	f.Add(pack(f, member{name: "link.png", kind: tar.TypeSymlink}, member{name: "a.png", text: "1"}, member{name: "a.png", text: "22"})[:1600])
	f.Fuzz(func(t *testing.T, data []byte) {
		var b builder
		if err := readShard(bytes.NewReader(data), int64(len(data)), "s.tar", &b); err != nil {
			return
		}
		offsets, files := b.offsets, b.files
		archive := tar.NewReader(bytes.NewReader(data))
		for row := 0; row < len(files); {
			h, err := archive.Next()
			if err != nil {
				t.Fatalf("%d pictures were found and only %d are there: %v", len(files), row, err)
			}
			content, err := io.ReadAll(io.LimitReader(archive, int64(len(data)))) // a sparse member may claim exabytes
			if err != nil {
				t.Fatal(err)
			}
			if h.Size != files[row].size {
				continue
			}
			if at := offsets[row]; bytes.Equal(content, data[at:at+files[row].size]) {
				row++
			}
		}
		found, err := b.finish()
		if err != nil {
			t.Fatal(err)
		}
		if found, err = found.sorted(func(int, int) error { return nil }); err != nil {
			t.Fatal(err)
		}
		set := &Set{sources: []*source{{kind: shards}}, table: found}
		for i := range set.Len() {
			set.Label(i)
			if i > 0 && set.Key(i) <= set.Key(i-1) {
				t.Fatalf("%q comes after %q", set.Key(i), set.Key(i-1))
			}
		}
	})
}

func FuzzList(f *testing.F) {
	f.Add([]byte("a.png\tcat\r\n\n# x\n/b/../c.jpg\na.png\tcat\n"))
	f.Add([]byte("\ufeffa.png\na.png\tdog"))
	f.Fuzz(func(t *testing.T, data []byte) {
		found, err := readList(bytes.NewReader(data))
		if err != nil {
			return
		}
		set := &Set{sources: []*source{{kind: list}}, table: found}
		for i := range set.Len() {
			set.Label(i)
			if set.Key(i) == "" || i > 0 && set.Key(i) <= set.Key(i-1) {
				t.Fatalf("%q comes after %q", set.Key(i), set.Key(max(0, i-1)))
			}
		}
	})
}
