package filter

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// published is what a writer publishes at once.
type published struct {
	view  View
	pages []Page
	rows  int
}

// Readers find exactly what was published while a writer appends values, fields, columns and
// pages behind it. Run it with -race.
func TestReadersBesideWriter(t *testing.T) {
	const rows, step = 2*PageRows + 500, 50
	var now atomic.Pointer[published]
	now.Store(&published{})
	failed := make(chan error, 3)
	var readers sync.WaitGroup
	for range cap(failed) {
		readers.Go(func() {
			for last := -1; last < rows; {
				p := now.Load()
				if err := check(p); err != nil {
					failed <- err
					return
				}
				last = p.rows
			}
		})
	}
	d, all := NewDictionary(), []Page{}
	for i := range rows {
		// A new value in every row, a new field now and then.
		r, err := d.Encode(fmt.Appendf(nil, `{"n":%d,"name":["x","n%d"],"even":%t,"f%d":true}`, i, i, i%2 == 0, i/200))
		if err != nil {
			t.Fatal(err)
		}
		if i%PageRows == 0 {
			all = append(all[:len(all):len(all)], Page{})
		}
		all[len(all)-1] = all[len(all)-1].With(i%PageRows, r)
		if (i+1)%step == 0 || i+1 == rows {
			now.Store(&published{d.View(), append([]Page{}, all...), i + 1})
		}
	}
	readers.Wait()
	close(failed)
	for err := range failed {
		t.Error(err)
	}
}

// check matches the even rows of the last 300, and the last row's newest field.
func check(p *published) error {
	last := p.rows - 1
	for _, c := range []struct {
		filter string
		want   int
	}{
		{fmt.Sprintf(`{"n":{"$gt":%d},"even":true}`, last-300), min(150, (p.rows+1)/2)},
		{fmt.Sprintf(`{"f%d":true,"$not":{"name":{"$ne":"n%d"}}}`, last/200, last), min(1, p.rows)},
		{`{"name":"x","even":{"$exists":true}}`, p.rows},
	} {
		f, err := Parse([]byte(c.filter))
		if err != nil {
			return err
		}
		m, got := f.Compile(p.view), 0
		for i, page := range p.pages {
			got += m.Match(page, min(PageRows, p.rows-i*PageRows), make([]uint64, PageRows/64))
		}
		if got != c.want {
			return fmt.Errorf("%d of %d rows fulfil %s, not %d", got, p.rows, c.filter, c.want)
		}
	}
	return nil
}
