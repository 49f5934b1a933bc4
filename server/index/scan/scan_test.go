package scan

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// forEach runs a test with each kernel of this machine.
func forEach(t *testing.T, test func(t *testing.T)) {
	best := active
	t.Cleanup(func() { active = best })
	for _, k := range kernels {
		active = k
		t.Run(k.name, test)
	}
}

// dims returns sizes with every kind of tail, and large ones.
func dims() []int {
	all := []int{511, 512, 513, 2048, MaxDim}
	for d := 1; d <= 200; d++ {
		all = append(all, d)
	}
	return all
}

func gaussian(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// The program can be built without C. Otherwise the best kernel must be in use.
func TestKernel(t *testing.T) {
	names := []string{"avx512-vnni", "avx2", "go"}
	if !slices.Contains(names, Kernel()) || Kernel() != kernels[0].name || kernels[len(kernels)-1].name != "go" {
		t.Errorf("%q of %d kernels", Kernel(), len(kernels))
	}
}

func TestDots(t *testing.T) {
	forEach(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 1))
		for _, d := range dims() {
			for n := range 10 {
				checkDots(t, r, d, n)
			}
		}
	})
}

// checkDots compares n rows with sums in float64, and bit by bit with the kernel in Go. Memory
// beside the rows and the results must not be touched.
func checkDots(t *testing.T, r *rand.Rand, d, n int) {
	t.Helper()
	pad := 1 + r.IntN(3) // not aligned like the start of an allocation
	q, rows := gaussian(r, pad+d)[pad:], gaussian(r, pad+n*d)[pad:]
	all := slices.Repeat([]float32{-1}, n+2)
	out := all[1 : n+1]
	Dots(out, q, rows)
	for i, got := range out {
		row := rows[i*d : (i+1)*d]
		exact, most := reference(q, row)
		if math.Abs(float64(got)-exact) > float64((d+63)/64+6)*0x1p-24*most*1.001 {
			t.Fatalf("D=%d: row %d of %d is %v, want %v", d, i, n, got, exact)
		}
		if one := Dot(q, row); one != got || portable.dot(q, row) != got {
			t.Fatalf("D=%d: row %d of %d is %v, alone %v, in Go %v", d, i, n, got, one, portable.dot(q, row))
		}
	}
	checkDotsAt(t, r, q, rows, out)
	if all[0] != -1 || all[n+1] != -1 {
		t.Fatalf("D=%d: %d results went beyond their slice", d, n)
	}
}

// checkDotsAt computes rows in random order, some of them twice.
func checkDotsAt(t *testing.T, r *rand.Rand, q, rows, want []float32) {
	t.Helper()
	var at []uint32
	for range len(want) {
		at = append(at, uint32(r.IntN(len(want))))
	}
	got := make([]float32, len(at))
	DotsAt(got, q, rows, at)
	for i, row := range at {
		if got[i] != want[row] {
			t.Fatalf("D=%d: row %d is %v, among others %v", len(q), row, got[i], want[row])
		}
	}
}

// reference returns the sum of products, and that of their absolute values.
func reference(q, x []float32) (sum, most float64) {
	for i := range q {
		p := float64(q[i]) * float64(x[i])
		sum += p
		most += math.Abs(p)
	}
	return sum, most
}

func TestSizesThatDoNotFit(t *testing.T) {
	q := NewQuery([]float32{1, 2})
	three, six := make([]float32, 3), make([]float32, 6)
	for name, call := range map[string]func(){
		"scan: 3 numbers times 6":             func() { Dot(three, six) },
		"scan: 6 numbers are not 1 rows of 3": func() { Dots(three[:1], three, six) },
		"scan: 1 rows for 3 results":          func() { DotsAt(three, three, six, []uint32{0}) },
		"scan: row 2 of 2":                    func() { DotsAt(three[:1], three, six, []uint32{2}) },
		"scan: 3 numbers are not rows of 6":   func() { DotsAt(three[:1], six, three, []uint32{0}) },
		"scan: 1 results of no query":         func() { Products(make([]int32, 1), nil, nil) },
		"scan: 3 results of 2 queries":        func() { Products(make([]int32, 3), []*Query{q, q}, nil) },
		"scan: 3 codes are not 2 rows of 2":   func() { Products(make([]int32, 2), []*Query{q}, make([]int8, 3)) },
		"scan: queries of 2 and 1 numbers":    func() { Products(make([]int32, 2), []*Query{q, NewQuery([]float32{1})}, make([]int8, 2)) },
		"scan: 2 codes of 3 numbers":          func() { Quantize(make([]int8, 2), three) },
		"scan: a query of 0 numbers":          func() { NewQuery(nil) },
		"scan: a query of 8193 numbers":       func() { NewQuery(make([]float32, MaxDim+1)) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if got := fmt.Sprint(recover()); got != name {
					t.Errorf("panicked with %q", got)
				}
			}()
			call()
		})
	}
}

func TestNothingToDo(t *testing.T) {
	forEach(t, func(t *testing.T) {
		Dots(nil, []float32{1}, nil)
		DotsAt(nil, []float32{1}, nil, nil)
		Products(nil, nil, nil)
		Products(nil, []*Query{NewQuery([]float32{1})}, nil)
		out := []float32{5}
		Dots(out, nil, nil)
		if Dot(nil, nil) != 0 || out[0] != 0 {
			t.Errorf("the product of no numbers is %v, %v", Dot(nil, nil), out[0])
		}
	})
}
