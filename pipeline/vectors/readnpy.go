package vectors

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// readNumPy reads the rows of a .npy file and their paths from NAME.paths.
func readNumPy(f io.Reader, name string, each func(Row) error) error {
	r := bufio.NewReader(f)
	n, d, err := readHeader(r)
	if err != nil {
		return fmt.Errorf("read vectors: %s: %w", name, err)
	}
	beside, err := os.Open(name + ".paths")
	if err != nil {
		return fmt.Errorf("read vectors: the paths of %s: %w", name, err)
	}
	defer beside.Close()
	paths := bufio.NewReader(beside)
	bytes := make([]byte, 4*d)
	for i := range n {
		path, err := paths.ReadString('\n')
		if err != nil {
			return fmt.Errorf("read vectors: %s.paths has %d lines for %d vectors", name, i, n)
		}
		if _, err := io.ReadFull(r, bytes); err != nil {
			return fmt.Errorf("read vectors: %s ends in row %d of %d", name, i+1, n)
		}
		v := make([]float32, d)
		decode(v, bytes)
		if err := each(Row{Path: strings.TrimSuffix(path, "\n"), Embedding: v}); err != nil {
			return err
		}
	}
	if _, err := paths.ReadByte(); err == nil {
		return fmt.Errorf("read vectors: %s.paths has more lines than there are vectors, %d", name, n)
	}
	return nil
}

// shape finds the number of rows and of columns in the header of a .npy file.
var shape = regexp.MustCompile(`'shape': *\((\d+), *(\d+),? *\)`)

// readHeader reads the header of a .npy file with rows of float32.
func readHeader(r io.Reader) (n, d int, err error) {
	head := make([]byte, 10)
	if _, err := io.ReadFull(r, head); err != nil || string(head[:6]) != "\x93NUMPY" {
		return 0, 0, errors.New("not a .npy file")
	}
	length := int(binary.LittleEndian.Uint16(head[8:]))
	if head[6] > 1 { // version 2 and later: four bytes
		more := make([]byte, 2)
		if _, err := io.ReadFull(r, more); err != nil {
			return 0, 0, errors.New("it is truncated")
		}
		length |= int(binary.LittleEndian.Uint16(more)) << 16
	}
	text := make([]byte, min(length, 1<<16))
	if _, err := io.ReadFull(r, text); err != nil {
		return 0, 0, errors.New("it is truncated")
	}
	m := shape.FindSubmatch(text)
	if m == nil || !strings.Contains(string(text), "'descr': '<f4'") || !strings.Contains(string(text), "'fortran_order': False") {
		return 0, 0, errors.New("want rows of float32, [N, D]")
	}
	n, err = strconv.Atoi(string(m[1]))
	if err == nil {
		d, err = strconv.Atoi(string(m[2]))
	}
	if err != nil || d > 1<<20 {
		return 0, 0, fmt.Errorf("its shape is (%s, %s)", m[1], m[2])
	}
	return n, d, nil
}
