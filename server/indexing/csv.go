package indexing

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"unicode/utf8"
)

// readCSV reads a table whose first line names its columns. The id is in the column named key or,
// if key is "", in the first one, which must then have one of keyNames. A column's type follows
// from all its non-empty cells: numbers if each is a JSON number (so 0042 is none), booleans if
// each is true or false, else text. Empty cells are omitted.
func readCSV(f io.Reader, key string, add func(line int, id string, object json.RawMessage) error) error {
	r := csv.NewReader(withoutMark(f))
	table, lines, err := cells(r)
	if err != nil {
		return err
	}
	if len(table) == 0 {
		return errors.New("it is empty; want a header line with the column names")
	}
	names := table[0]
	at := slices.Index(names, key)
	switch {
	case key == "" && slices.Contains(keyNames, names[0]):
		at = 0
	case key == "":
		return fmt.Errorf("its first column is named %q, not id or path; give the id column with --key COLUMN", names[0])
	case at < 0:
		return fmt.Errorf("it has no column %q", key)
	}
	for i, name := range names {
		if name == "" || slices.Index(names, name) < i {
			return fmt.Errorf("column %d has an empty or repeated name, %q", i+1, name)
		}
	}
	kinds := kindsOf(table)
	for n, row := range table[1:] {
		if err := add(lines[n+1], row[at], object(names, row, kinds, at)); err != nil {
			return err
		}
	}
	return nil
}

// withoutMark skips a byte order mark at the start of a text.
func withoutMark(f io.Reader) io.Reader {
	r := bufio.NewReader(f)
	if mark, err := r.Peek(3); err == nil && string(mark) == "\ufeff" {
		r.Discard(len(mark))
	}
	return r
}

// errNotUTF8 is the error for other encodings, such as those of older Excel tables.
var errNotUTF8 = errors.New("it is not UTF-8; save the file as UTF-8 (in Excel: CSV UTF-8)")

// cells reads a whole table, and the line number of each row.
func cells(r *csv.Reader) (table [][]string, lines []int, err error) {
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return table, lines, nil
		}
		if err != nil {
			return nil, nil, err
		}
		for i, cell := range row {
			if line, _ := r.FieldPos(i); !utf8.ValidString(cell) {
				return nil, nil, fmt.Errorf("line %d: %w", line, errNotUTF8)
			}
		}
		line, _ := r.FieldPos(0)
		table, lines = append(table, row), append(lines, line)
	}
}

// kind is the type of a column.
type kind uint8

const (
	text kind = iota
	number
	boolean
)

// numeral matches a JSON number.
var numeral = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// kindsOf determines the type of each column of a table, whose first row holds the names.
func kindsOf(table [][]string) []kind {
	kinds := make([]kind, len(table[0]))
	for c := range kinds {
		numbers, booleans := true, true
		for _, row := range table[1:] {
			if cell := row[c]; cell != "" {
				numbers = numbers && numeral.MatchString(cell)
				booleans = booleans && (cell == "true" || cell == "false")
			}
		}
		switch {
		case numbers:
			kinds[c] = number
		case booleans:
			kinds[c] = boolean
		}
	}
	return kinds
}

// object returns a row as a JSON object, without the column at, which holds the id.
func object(names, row []string, kinds []kind, at int) json.RawMessage {
	b := []byte{'{'}
	for c, cell := range row {
		if c == at || cell == "" {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(append(b, quoted(names[c])...), ':')
		if kinds[c] == text {
			b = append(b, quoted(cell)...)
		} else {
			b = append(b, cell...)
		}
	}
	return append(b, '}')
}

func quoted(s string) []byte {
	b, _ := json.Marshal(s) // cannot fail for a string
	return b
}
