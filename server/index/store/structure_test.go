package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"testing"
)

// A page that belongs to two rows makes a file unsound.
func TestSharedPages(t *testing.T) {
	ctx := context.Background()
	s := made(t, testAbout)
	var pages [2][]byte // a part of a row's second page, which leads to its third
	for i := range pages {
		pages[i] = bytes.Repeat([]byte{'A' + byte(i)}, pageSize-4)
		r := rowOf(i, testDim)
		r.Metadata = []byte(`"` + string(bytes.Repeat(pages[i][:1], 4*pageSize)) + `"`)
		apply(t, s, puts(r)...)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	text := read(t, s.path)
	next := func(page []byte) []byte {
		at := bytes.Index(text, page)
		if at < 4 {
			t.Fatal("no page is full of the metadata")
		}
		return text[at-4 : at]
	}
	if first, other := next(pages[0]), next(pages[1]); binary.BigEndian.Uint32(first) == 0 || copy(first, other) != 4 {
		t.Fatal("the row has only one such page")
	}
	if err := os.WriteFile(s.path, text, 0o666); err != nil {
		t.Fatal(err)
	}
	s = opened(t, s.path, Options{})
	whole, err := s.Survey(ctx, func(*Row) error { return nil })
	if err != nil || !whole.Unsound || len(whole.Damaged) != 1 {
		t.Errorf("%+v, %v", whole, err)
	}
	if r, err := s.CheckStructure(ctx); err != nil || !r.Unsound || len(r.Other) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// Damaged rows alone, whether or not they can be read and found by their ids, leave it sound.
func TestDamagedRowsAreNotStructure(t *testing.T) {
	path, _ := spoilt(t, 9)
	for _, lengths := range []string{"", "\x7f\x7f"} {
		text := read(t, path)
		copy(text[bytes.Index(text, []byte("defaultid-7p"))-8:], lengths)
		if err := os.WriteFile(path, text, 0o666); err != nil {
			t.Fatal(err)
		}
		s := opened(t, path, Options{})
		r, err := s.CheckStructure(context.Background())
		if err != nil || r.Unsound || len(r.Other) != 1 {
			t.Errorf("%+v, %v", r, err)
		}
		s.Close()
	}
}
