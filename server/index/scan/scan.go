// Package scan implements the arithmetic of an exact search over vectors in memory: float32 dot
// products, and integer products of vectors quantised to 8 bits (a quarter of the memory to read)
// with a bound on the quantisation error. Rows are contiguous in one slice, D numbers each, and
// need no alignment.
//
// C functions do the work on processors with AVX2 or AVX-512 VNNI, and Go elsewhere. All return
// bit-identical results. All functions are safe for concurrent use, and none modifies its input.
// Mismatched sizes are programming errors, and panic.
//
// A scan is bound by memory bandwidth. Huge pages (madvise MADV_HUGEPAGE) help where rows are
// read in random order, as in DotsAt; Go's heap uses them if the system is configured to.
package scan

import (
	"fmt"
	"math"
)

// MaxDim is the largest D of codes: sums of that many products fit in an int32.
const MaxDim = 8192

// kernel is an implementation for one kind of processor. Sizes have been checked, and no argument
// is empty.
type kernel struct {
	name   string
	dot    func(q, x []float32) float32
	dots   func(out, q, rows []float32)
	dotsAt func(out, q, rows []float32, at []uint32)

	// products sets out[j*stride+i] for one to group queries and all rows of codes.
	products func(out []int32, stride int, queries []*Query, codes []int8)

	// close is Points.Close for a block's codes and halves.
	close func(masks []uint64, q *Near, codes []uint8, halves []int32)
}

// group is the number of queries that a kernel processes at once, limited by its registers.
const group = 4

// kernels are those that this processor supports, best first; tests change active.
var (
	kernels = append(native(), portable)
	active  = kernels[0]
)

// Kernel names the kernel in use on this machine: "avx512-vnni", "avx2" or "go".
func Kernel() string { return active.name }

// Dot returns q·x for two vectors of equal length. It adds in the same order as Dots and DotsAt,
// so a pair has one score, however it is computed.
//
// There are 64 partial sums, the l-th over products l, l+64, l+128 and so on; then the upper half
// is added to the lower, six times. Everything is rounded to float32, so at most ⌈D/64⌉+6
// roundings lie between any product and the result.
func Dot(q, x []float32) float32 {
	mustFit(len(q) == len(x), "%d numbers times %d", len(q), len(x))
	if len(q) == 0 {
		return 0
	}
	return active.dot(q, x)
}

// Dots sets out[i] to q · row i, for rows [len(out), D] with D = len(q).
func Dots(out, q, rows []float32) {
	mustFit(len(rows) == len(out)*len(q), "%d numbers are not %d rows of %d", len(rows), len(out), len(q))
	if len(rows) == 0 {
		clear(out)
		return
	}
	active.dots(out, q, rows)
}

// DotsAt sets out[i] to q · row at[i], for rows [N, D] with D = len(q).
func DotsAt(out, q, rows []float32, at []uint32) {
	mustFit(len(at) == len(out), "%d rows for %d results", len(at), len(out))
	if len(q) == 0 || len(at) == 0 {
		clear(out)
		return
	}
	mustFit(len(rows)%len(q) == 0, "%d numbers are not rows of %d", len(rows), len(q))
	n := len(rows) / len(q)
	for _, i := range at {
		mustFit(uint64(i) < uint64(n), "row %d of %d", i, n)
	}
	active.dotsAt(out, q, rows, at)
}

// blockBytes of codes stay in the core's cache while all queries are processed.
const blockBytes = 128 << 10

// Products sets out[j*n+i] to the product of row i of codes and the codes of query j, with codes
// [n, D] and n = len(out)/len(queries); all queries have the same D. The sums are exact. Codes
// are read from memory once, whatever the number of queries.
func Products(out []int32, queries []*Query, codes []int8) {
	if len(queries) == 0 {
		mustFit(len(out) == 0, "%d results of no query", len(out))
		return
	}
	n, d := len(out)/len(queries), len(queries[0].codes)
	mustFit(n*len(queries) == len(out), "%d results of %d queries", len(out), len(queries))
	mustFit(n*d == len(codes), "%d codes are not %d rows of %d", len(codes), n, d)
	for _, q := range queries {
		if len(q.codes) != d { // passing arguments to mustFit allocates, which is costly for a few rows
			mustFit(false, "queries of %d and %d numbers", d, len(q.codes))
		}
	}
	if len(codes) == 0 {
		clear(out)
		return
	}
	block := n
	if len(queries) > group {
		block = max(group, blockBytes/d)
	}
	for i := 0; i < n; i += block {
		rows := codes[i*d : min(i+block, n)*d]
		for j := 0; j < len(queries); j += group {
			active.products(out[j*n+i:], n, queries[j:min(j+group, len(queries))], rows)
		}
	}
}

// mustFit panics unless ok.
func mustFit(ok bool, format string, args ...any) {
	if !ok {
		panic(fmt.Sprintf("scan: "+format, args...))
	}
}

// Up returns the smallest float32 that is at least v, for v at least 0.
func Up(v float64) float32 {
	f := float32(v)
	if float64(f) < v {
		f = math.Nextafter32(f, math.MaxFloat32)
	}
	return f
}
