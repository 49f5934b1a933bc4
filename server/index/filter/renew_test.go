package filter

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// Rows moved to a new dictionary match as before, and what none of them has is left behind.
func TestRenew(t *testing.T) {
	for seed := range uint64(8) {
		r := maker{rand.New(rand.NewPCG(seed, 2))}
		old := NewDictionary()
		for i := range 1000 {
			if _, err := old.Encode(fmt.Appendf(nil, `{"gone": %d, "x": ["%d", {}]}`, i, i)); err != nil {
				t.Fatal(err)
			}
		}
		rows, all := pages(t, r, old, []int{200, 65})
		before := old.Size()
		move := old.Renew()
		moved := make([]Page, len(all))
		for j, p := range all {
			for i := range rows[j] {
				moved[j] = moved[j].With(i, move.Row(p.Row(i)))
			}
		}
		if now := move.To.Size(); now*2 > before {
			t.Errorf("%d bytes of %d are left", now, before)
		}
		view := move.To.View()
		for range 40 {
			text, _ := plain(t, r.filter(3))
			f := read(t, string(text))
			m := f.Compile(view)
			for j, p := range moved {
				same(t, m, p, rows[j], func(x record) bool { return f.HoldsFor(x.read) }, f)
			}
		}
	}
}

// Fields that are taken back are no longer counted, with their values.
func TestSizeAfterReset(t *testing.T) {
	d := NewDictionary()
	encode := func(text string) {
		t.Helper()
		if _, err := d.Encode([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	encode(`{"a": "x"}`)
	mark, before := d.Mark(), d.Size()
	encode(`{"b": "a text", "c": [1, 2], "d": 3}`)
	if d.Size() <= before {
		t.Errorf("%d bytes", d.Size())
	}
	if d.Reset(mark); d.Size() != before {
		t.Errorf("%d bytes, which were %d", d.Size(), before)
	}
}
