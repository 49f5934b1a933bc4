package filter

import (
	"fmt"
	"testing"
)

// hundredThousand returns a namespace of 100,000 rows: label has 10 values, name and n differ in
// every row, and tags has two of 100 values in each.
func hundredThousand(b *testing.B) (View, []Page) {
	b.Helper()
	const rows = 100_000
	d, all := NewDictionary(), make([]Page, (rows+PageRows-1)/PageRows)
	for i := range rows {
		r, err := d.Encode(benchRow(i))
		if err != nil {
			b.Fatal(err)
		}
		all[i/PageRows] = all[i/PageRows].With(i%PageRows, r)
	}
	return d.View(), all
}

func benchRow(i int) []byte {
	return fmt.Appendf(nil, `{"label":"label%d","name":"images/%06d.jpg","n":%d.5,"tags":["t%d","u%d"],"camera":{"make":"x"}}`, i*7%10, i*7919%100_000, i*7919%100_000, i%100, i*31%100)
}

var benchFilters = []struct{ name, text string }{
	{"equal/10", `{"label":"label3"}`},
	{"equal/100000", `{"name":"images/050000.jpg"}`},
	{"list", `{"tags":"t50"}`},
	{"range/100000", `{"n":{"$gte":20000,"$lt":70000}}`},
	{"textrange/100000", `{"name":{"$gte":"images/02","$lt":"images/07"}}`},
	{"and", `{"label":"label3","n":{"$gte":20000},"camera.make":"x"}`},
}

// The cost of Compile grows with distinct values, that of Match with rows: 100,000 of each.
func BenchmarkCompile(b *testing.B) {
	view, _ := hundredThousand(b)
	for _, c := range benchFilters {
		f := read(b, c.text)
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				f.Compile(view)
			}
		})
	}
}

func BenchmarkMatch(b *testing.B) {
	view, pages := hundredThousand(b)
	for _, c := range benchFilters {
		m := read(b, c.text).Compile(view)
		b.Run(c.name, func(b *testing.B) {
			into := make([]uint64, PageRows/64)
			n := 0
			for b.Loop() {
				n = 0
				for i, p := range pages {
					n += m.Match(p, min(PageRows, 100_000-i*PageRows), into)
				}
			}
			b.ReportMetric(float64(n), "hits")
		})
	}
}

// The cost of encoding a row, and its memory use afterwards.
func BenchmarkEncode(b *testing.B) {
	d, p, i, row := NewDictionary(), Page{}, 0, make([][]byte, 100_000)
	for i := range row {
		row[i] = benchRow(i)
	}
	b.ResetTimer()
	for b.Loop() {
		r, err := d.Encode(row[i%len(row)])
		if err != nil {
			b.Fatal(err)
		}
		p = p.With(i%PageRows, r)
		i++
	}
	b.ReportMetric(float64(d.Size())/float64(min(i, len(row))), "dictionary-B/row")
}
