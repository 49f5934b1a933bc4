package filter

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// record is one row in all its forms.
type record struct {
	text  []byte
	plain any
	read  *Metadata
}

// pages fills pages of random sizes with random rows. Some rows are set twice, and some are
// copied from another page.
func pages(t *testing.T, r maker, d *Dictionary, sizes []int) (rows [][]record, all []Page) {
	t.Helper()
	for _, size := range sizes {
		var p Page
		var records []record
		for i := range size {
			text, again := plain(t, r.object(3))
			row, err := d.Encode(text)
			if err != nil {
				t.Fatal(err)
			}
			read, err := ReadMetadata(text)
			if err != nil {
				t.Fatal(err)
			}
			records = append(records, record{text, again, read})
			switch r.IntN(8) {
			case 0:
				other, err := d.Encode([]byte(`{"a":1,"b":{"c":2},"x":"an attempt"}`))
				if err != nil {
					t.Fatal(err)
				}
				p = p.With(i, other)
			case 1:
				at := r.IntN(PageRows)
				row = Page{}.With(at, row).Row(at)
			}
			p = p.With(i, row)
		}
		rows, all = append(rows, records), append(all, p)
	}
	return rows, all
}

// Columns, single objects and the oracle agree about random filters and metadata.
func TestMatchHoldsOracle(t *testing.T) {
	seen, held := 0, 0
	for seed := range uint64(16) {
		r := maker{rand.New(rand.NewPCG(seed, 1))}
		d := NewDictionary()
		filters, sizes := 60, []int{1 + r.IntN(150), pick(r, 1, 63, 64, 65, 128), r.IntN(100)}
		if seed == 0 {
			filters, sizes = 10, []int{PageRows, 1}
		}
		rows, all := pages(t, r, d, sizes)
		view := d.View()
		for range filters {
			text, again := plain(t, r.filter(3))
			f := read(t, string(text))
			m := f.Compile(view)
			for i, p := range all {
				held += same(t, m, p, rows[i], func(x record) bool { return f.HoldsFor(x.read) }, f)
				same(t, m, p, rows[i], func(x record) bool { return expected(again, x.plain) }, f)
				seen += len(rows[i])
			}
		}
	}
	if held < seen/10 || held > seen*9/10 {
		t.Errorf("%d of %d hold: these filters test little", held, seen)
	}
}

// same compares the matches of a page with the truth, for all its rows and for half of them, and
// returns how many match.
func same(t *testing.T, m *Matcher, p Page, rows []record, holds func(record) bool, f *Filter) int {
	t.Helper()
	into := make([]uint64, PageRows/64)
	n := 0
	for _, most := range []int{len(rows) / 2, len(rows)} {
		for i := range into {
			into[i] = 0xaaaaaaaaaaaaaaaa // left over from an earlier match
		}
		want := 0
		n = m.Match(p, most, into)
		for i := range PageRows {
			is := i < most && holds(rows[i])
			if is {
				want++
			}
			if got := into[i/64]>>(i%64)&1 != 0; got != is {
				t.Fatalf("row %d of %d matches %s: %v", i, most, f, got)
			}
		}
		if n != want {
			t.Fatalf("%d matches, not %d", n, want)
		}
	}
	return n
}

// Published views and pages never change.
func TestViewsStay(t *testing.T) {
	d := NewDictionary()
	encode := func(text string) Row {
		r, err := d.Encode([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := Page{}.With(0, encode(`{"a":1,"o":{"p":"x"},"e":[]}`))
	view := d.View()
	second := first.With(1, encode(`{"a":2,"b":[1,2]}`))
	if got := view.Fields(); !slices.Equal(got, []string{"a", "o.p"}) {
		t.Error(got)
	}
	if got := d.View().Fields(); !slices.Equal(got, []string{"a", "b", "o.p"}) {
		t.Error(got)
	}
	if got := (View{}).Fields(); got == nil || len(got) != 0 {
		t.Error(got)
	}
	into := make([]uint64, 1)
	if n := read(t, `{"b":null}`).Compile(view).Match(first, 1, into); n != 1 || into[0] != 1 {
		t.Error(n, into)
	}
	if n := read(t, `{"b":2,"a":{"$gt":1}}`).Compile(d.View()).Match(second, 2, into); n != 1 || into[0] != 2 {
		t.Error(n, into)
	}
	if n := read(t, `{}`).Compile(View{}).Match(Page{}, 64, into); n != 64 || into[0] != ^uint64(0) {
		t.Error(n, into)
	}
}

// Metadata with one field too many adds nothing, neither fields nor values.
func TestMostFields(t *testing.T) {
	d := NewDictionary()
	for i := range 5 {
		prefix := string(rune('a' + i))
		if _, err := d.Encode([]byte(`{` + many(`"`+prefix+`%d":1`, 204) + `}`)); err != nil {
			t.Fatal(err)
		}
	}
	size := d.Size()
	_, err := d.Encode([]byte(`{"a0":2,"new":{"er":1,"est":2,"x":[],"y":2}}`)) // 1025 with the object
	const want = "metadata: one field too many, new.y: the items of a namespace may have at most 1024 different fields"
	if err == nil || err.Error() != want || d.Size() != size || len(d.View().fields) != 1020 {
		t.Error(err, d.Size(), len(d.View().fields))
	}
	if _, err := d.Encode([]byte(`{"a0":2,"new":{"er":1,"est":2,"x":[]}}`)); err != nil || d.Size() <= size {
		t.Error(err)
	}
}

// A dictionary does not retain its caller's memory.
func TestNothingOfTheCallers(t *testing.T) {
	d := NewDictionary()
	text := []byte(`{"name":"value","list":["x","y"]}`)
	r, err := d.Encode(text)
	if err != nil {
		t.Fatal(err)
	}
	f := []byte(`{"name":"value","list":"y"}`)
	asked := read(t, string(f))
	clear(text)
	if n := asked.Compile(d.View()).Match(Page{}.With(0, r), 1, make([]uint64, 1)); n != 1 {
		t.Error("the values are gone")
	}
}

// A page takes no more memory than its rows need, and rows that were never set are empty.
func TestPageSize(t *testing.T) {
	d := NewDictionary()
	r, err := d.Encode([]byte(`{"a":1,"b":2}`))
	if err != nil {
		t.Fatal(err)
	}
	small, large := Page{}.With(0, r), Page{}.With(PageRows-1, r)
	if small.Size() != 2*(24+4*leastRows) || large.Size() != 2*(24+4*PageRows) {
		t.Error(small.Size(), large.Size())
	}
	if n := read(t, `{"a":1}`).Compile(d.View()).Match(large, PageRows, make([]uint64, PageRows/64)); n != 1 {
		t.Error(n)
	}
	if len(large.Row(0).cells) != 0 || len(large.Row(PageRows-1).cells) != 2 || len(small.Row(100).cells) != 0 {
		t.Error("rows have what was not set")
	}
	defer func() {
		if recover() == nil {
			t.Error("a row outside is set")
		}
	}()
	small.With(PageRows, r)
}

// Small and large tables are looked up in different ways, with the same result.
func TestBytesAndBits(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	passes := newTable(999)
	for i := range passes {
		passes[i] = r.Uint64()
	}
	for range 100 {
		var rows [64]uint32
		want := uint64(0)
		for i := range rows {
			rows[i] = r.Uint32N(1000)
			want |= passes.bit(rows[i]) << i
		}
		if a, b := fromBytes(passes.bytes(), &rows), fromBits(passes, &rows); a != want || b != want {
			t.Fatalf("%x and %x, not %x", a, b, want)
		}
	}
	small, large := &step{table: make(table, mostBytes/64)}, &step{table: make(table, mostBytes/64+1)}
	(&step{join: or, parts: []*step{small, {join: not, parts: []*step{large}}}}).unpack()
	if len(small.bytes) != mostBytes || large.bytes != nil {
		t.Errorf("%d and %d bytes", len(small.bytes), len(large.bytes))
	}
}
