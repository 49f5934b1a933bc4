package dataset

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"vicreg/pipeline/usage"
)

// maxLine bounds a line of a list, in bytes.
const maxLine = 64 << 10

// refreshList is the counterpart of refreshTree for a list.
func refreshList(x *indexing, old *listing) (now *listing, changed bool, err error) {
	f, err := os.Open(x.source.path)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, false, err
	}
	p := stateOf("", info, time.Now())
	if len(old.parts) == 1 && old.parts[0].holds(p) {
		return old, false, nil
	}
	t, err := readList(f)
	if err == nil {
		err = x.visit(t, old.table)
	}
	if err != nil {
		return nil, false, err
	}
	return &listing{parts: []part{p}, table: t}, true, nil
}

// readList parses a list, setting only the names and labels.
func readList(r io.Reader) (*table, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	var b builder
	number := 0
	for lines.Scan() {
		line := strings.TrimSuffix(lines.Text(), "\r")
		if number++; number == 1 {
			line = strings.TrimPrefix(line, "\ufeff")
		}
		if strings.TrimSpace(line) == "" || line[0] == '#' {
			continue
		}
		name, label, _ := strings.Cut(line, "\t")
		if name == "" || strings.IndexByte(line, 0) >= 0 {
			return nil, fmt.Errorf("line %d is not a path", number)
		}
		b.name(path.Clean(filepath.ToSlash(name)))
		b.as(label)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", number+1, err)
	}
	t, err := b.finish()
	if err != nil {
		return nil, err
	}
	return t.sorted(func(first, second int) error {
		if t.label[first] == t.label[second] {
			return nil
		}
		return fmt.Errorf("%s is listed with the labels %q and %q", usage.Printable(t.key(first)), t.labels[t.label[first]], t.labels[t.label[second]])
	})
}

// anyThere returns an error if none of the listed files exists: the paths are relative to another
// folder, a disk is missing, or commas separate them from their labels.
func (x *indexing) anyThere(t *table) error {
	for i := range t.files {
		if t.files[i].modified != 0 {
			return nil
		}
	}
	if t.len() == 0 {
		return nil
	}
	hint := ""
	for row := range t.len() {
		if name, _, comma := strings.Cut(t.key(row), ","); comma && isPicture(name) {
			hint = "; separate a path and its label with a tab, not a comma"
			break
		}
	}
	return fmt.Errorf("none of the listed files exists, for example %s%s", usage.Printable(x.source.file(t.key(0))), hint)
}
