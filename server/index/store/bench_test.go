package store

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"
)

const benchDim = 512

// plain is the usual database/sql code: a prepared INSERT in a loop within one transaction, with
// the store's settings and table. It is the baseline for Apply.
func plain(b *testing.B, path string) func(changes []Change) {
	b.Helper()
	file, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	db := sql.OpenDB(&readers{how: writing, path: path, file: file})
	db.SetMaxOpenConns(1)
	b.Cleanup(func() { db.Close() })
	if _, err := db.Exec("PRAGMA wal_autocheckpoint = 1000"); err != nil { // SQLite's default: otherwise the log only grows
		b.Fatal(err)
	}
	own := codec{dim: benchDim}
	key := int64(1)
	return func(changes []Change) {
		tx, err := db.Begin()
		if err != nil {
			b.Fatal(err)
		}
		insert, err := tx.Prepare("INSERT INTO items (namespace, id, source, metadata, hash, sum, vector, key) VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
		if err != nil {
			b.Fatal(err)
		}
		for i := range changes {
			v := own.encode(&changes[i].Row, key)
			if _, err := insert.Exec(v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]); err != nil {
				b.Fatal(err)
			}
			key++
		}
		if err := tx.Commit(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkApply alternates between Apply and the plain loop, and reports the median of the
// ratios of their times, above 1 if Apply is faster.
func BenchmarkApply(b *testing.B) {
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			about := About{Fingerprint: "f", Dim: benchDim}
			s, other := made(b, about), made(b, about)
			other.Close()
			loop := plain(b, other.path)
			batch := puts(rowsOf(0, n, benchDim)...)
			for i := range batch {
				batch[i].Thumbnail = nil
			}
			var ratios []float64
			var took time.Duration
			for turn := 0; b.Loop(); turn++ {
				for i := range batch {
					batch[i].ID = fmt.Sprintf("photos/%08x/%d.jpg", uint32(i)*2654435761, turn)
				}
				begin := time.Now()
				if err := s.Apply(context.Background(), batch); err != nil {
					b.Fatal(err)
				}
				mine := time.Since(begin)
				loop(batch)
				took += mine
				ratios = append(ratios, float64(time.Since(begin)-mine)/float64(mine))
			}
			slices.Sort(ratios)
			b.ReportMetric(ratios[len(ratios)/2], "of-plain")
			b.ReportMetric(float64(b.N*n)/took.Seconds(), "rows/s")
		})
	}
}

// BenchmarkLoad reads 100,000 rows.
func BenchmarkLoad(b *testing.B) {
	s := made(b, About{Fingerprint: "f", Dim: benchDim})
	const rows, batch = 100_000, 1000
	changes := puts(rowsOf(0, batch, benchDim)...)
	for from := 0; from < rows; from += batch {
		for i := range changes {
			changes[i].ID = fmt.Sprintf("photos/%d.jpg", from+i)
		}
		apply(b, s, changes...)
	}
	for b.Loop() {
		n := 0
		if err := loadAll(s, context.Background(), func(*Row) error { n++; return nil }); err != nil || n != rows {
			b.Fatal(n, err)
		}
	}
}

// BenchmarkGet reads the rows of ten hits.
func BenchmarkGet(b *testing.B) {
	s := made(b, About{Fingerprint: "f", Dim: benchDim})
	apply(b, s, puts(rowsOf(0, 10_000, benchDim)...)...)
	keys := make([]int64, 10)
	for n := int64(0); b.Loop(); n++ {
		for i := range keys {
			keys[i] = 1 + (n*7919+int64(i)*997)%10_000
		}
		if rows, err := s.Get(context.Background(), keys, false); err != nil || len(rows) != len(keys) {
			b.Fatal(len(rows), err)
		}
	}
}
