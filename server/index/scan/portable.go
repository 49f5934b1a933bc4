package scan

// lanes is the number of partial sums of a dot product; see Dot.
const lanes = 64

// portable is the kernel in Go, for every processor.
var portable = kernel{name: "go", dot: dot, dots: dots, dotsAt: dotsAt, products: products, close: near}

// dot computes eight lanes at a time, as many as fit in registers. The conversions keep the
// compiler from fusing multiplications and additions, which round differently then.
func dot(q, x []float32) float32 {
	var sums [lanes]float32
	for l := 0; l < lanes && l < len(q); l += 8 {
		s, at := sums[l:l+8:l+8], l
		var s0, s1, s2, s3, s4, s5, s6, s7 float32
		for ; at+8 <= len(q); at += lanes {
			a, b := q[at:at+8:at+8], x[at:at+8:at+8]
			s0 += float32(a[0] * b[0])
			s1 += float32(a[1] * b[1])
			s2 += float32(a[2] * b[2])
			s3 += float32(a[3] * b[3])
			s4 += float32(a[4] * b[4])
			s5 += float32(a[5] * b[5])
			s6 += float32(a[6] * b[6])
			s7 += float32(a[7] * b[7])
		}
		s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7] = s0, s1, s2, s3, s4, s5, s6, s7
		for i := at; i < len(q); i++ {
			s[i-at] += float32(q[i] * x[i])
		}
	}
	for half := lanes / 2; half > 0; half /= 2 {
		for l := range half {
			sums[l] += sums[l+half]
		}
	}
	return sums[0]
}

func dots(out, q, rows []float32) {
	for i := range out {
		out[i] = dot(q, rows[i*len(q):(i+1)*len(q)])
	}
}

func dotsAt(out, q, rows []float32, at []uint32) {
	for i, row := range at {
		first := int(row) * len(q)
		out[i] = dot(q, rows[first:first+len(q)])
	}
}

func products(out []int32, stride int, queries []*Query, codes []int8) {
	d := len(queries[0].codes)
	for i := range len(codes) / d {
		row := codes[i*d : (i+1)*d]
		for j, q := range queries {
			out[j*stride+i] = product(q.codes, row)
		}
	}
}

// product uses four accumulators for instruction-level parallelism.
func product(q []int16, row []int8) int32 {
	q = q[:len(row)]
	var s0, s1, s2, s3 int32
	at := 0
	for ; at+8 <= len(row); at += 8 {
		a, b := q[at:at+8:at+8], row[at:at+8:at+8]
		s0 += int32(a[0])*int32(b[0]) + int32(a[4])*int32(b[4])
		s1 += int32(a[1])*int32(b[1]) + int32(a[5])*int32(b[5])
		s2 += int32(a[2])*int32(b[2]) + int32(a[6])*int32(b[6])
		s3 += int32(a[3])*int32(b[3]) + int32(a[7])*int32(b[7])
	}
	for ; at < len(row); at++ {
		s0 += int32(q[at]) * int32(row[at])
	}
	return s0 + s1 + s2 + s3
}
