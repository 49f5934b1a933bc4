//go:build cgo && amd64

package scan

// Loops over arrays of registers must be unrolled for these to stay in registers, hence -O3. A
// strict standard keeps GCC from fusing multiplications and additions, which round differently
// then.

/*
#cgo CFLAGS: -O3 -std=c11 -Wall -Wextra
#cgo noescape dots_avx2
#cgo nocallback dots_avx2
#cgo noescape dots_at_avx2
#cgo nocallback dots_at_avx2
#cgo noescape products_avx2
#cgo nocallback products_avx2
#cgo noescape close_avx2
#cgo nocallback close_avx2
#cgo noescape dots_avx512
#cgo nocallback dots_avx512
#cgo noescape dots_at_avx512
#cgo nocallback dots_at_avx512
#cgo noescape products_avx512
#cgo nocallback products_avx512
#cgo noescape close_avx512
#cgo nocallback close_avx512
#include "kernels_amd64.h"
*/
import "C"

import "unsafe"

// native returns the C kernels that this processor supports, best first.
func native() []kernel {
	var have []kernel
	if C.has_avx512_vnni() != 0 {
		have = append(have, avx512)
	}
	if C.has_avx2() != 0 {
		have = append(have, avx2)
	}
	return have
}

var avx512 = kernel{
	name: "avx512-vnni",
	dot: func(q, x []float32) (out float32) {
		C.dots_avx512(floats(q), C.size_t(len(q)), floats(x), 1, (*C.float)(&out))
		return out
	},
	dots: func(out, q, rows []float32) {
		C.dots_avx512(floats(q), C.size_t(len(q)), floats(rows), C.size_t(len(out)), floats(out))
	},
	dotsAt: func(out, q, rows []float32, at []uint32) {
		C.dots_at_avx512(floats(q), C.size_t(len(q)), floats(rows), (*C.uint32_t)(&at[0]), C.size_t(len(at)), floats(out))
	},
	products: func(out []int32, stride int, queries []*Query, codes []int8) {
		var q [group]*C.int8_t // those after the last query stay nil and are not read
		for j := range queries {
			q[j] = (*C.int8_t)(&queries[j].planes[0])
		}
		d := len(queries[0].codes)
		C.products_avx512(q[0], q[1], q[2], q[3], C.size_t(len(queries)), C.size_t(d), (*C.int8_t)(&codes[0]),
			C.size_t(len(codes)/d), (*C.int32_t)(&out[0]), C.size_t(stride))
	},
	close: func(masks []uint64, q *Near, codes []uint8, halves []int32) {
		C.close_avx512((*C.int8_t)(&q.codes[0]), (*C.int32_t)(&q.bars[0]), C.size_t(len(masks)), (*C.uint8_t)(&codes[0]),
			(*C.int32_t)(&halves[0]), (*C.uint64_t)(&masks[0]))
	},
}

var avx2 = kernel{
	name: "avx2",
	dot: func(q, x []float32) (out float32) {
		C.dots_avx2(floats(q), C.size_t(len(q)), floats(x), 1, (*C.float)(&out))
		return out
	},
	dots: func(out, q, rows []float32) {
		C.dots_avx2(floats(q), C.size_t(len(q)), floats(rows), C.size_t(len(out)), floats(out))
	},
	dotsAt: func(out, q, rows []float32, at []uint32) {
		C.dots_at_avx2(floats(q), C.size_t(len(q)), floats(rows), (*C.uint32_t)(&at[0]), C.size_t(len(at)), floats(out))
	},
	products: func(out []int32, stride int, queries []*Query, codes []int8) {
		var q [group]*C.int16_t // those after the last query stay nil and are not read
		for j := range queries {
			q[j] = (*C.int16_t)(&queries[j].codes[0])
		}
		d := len(queries[0].codes)
		C.products_avx2(q[0], q[1], q[2], q[3], C.size_t(len(queries)), C.size_t(d), (*C.int8_t)(&codes[0]),
			C.size_t(len(codes)/d), (*C.int32_t)(&out[0]), C.size_t(stride))
	},
	close: func(masks []uint64, q *Near, codes []uint8, halves []int32) {
		C.close_avx2((*C.int8_t)(&q.codes[0]), (*C.int32_t)(&q.bars[0]), C.size_t(len(masks)), (*C.uint8_t)(&codes[0]),
			(*C.int32_t)(&halves[0]), (*C.uint64_t)(&masks[0]))
	},
}

// floats returns a pointer to the first element of s, which must not be empty.
func floats(s []float32) *C.float { return (*C.float)(unsafe.Pointer(&s[0])) }
