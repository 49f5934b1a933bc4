package near

import "sync/atomic"

// forest is a union-find structure, safe for concurrent use.
type forest struct{ parents []atomic.Uint32 }

func newForest(n int) *forest {
	f := &forest{make([]atomic.Uint32, n)}
	for i := range f.parents {
		f.parents[i].Store(uint32(i))
	}
	return f
}

// find returns the lowest number in the set of i.
func (f *forest) find(i uint32) uint32 {
	for {
		p := f.parents[i].Load()
		if p == i {
			return i
		}
		if above := f.parents[p].Load(); above != p { // path splitting
			f.parents[i].CompareAndSwap(p, above)
		}
		i = p
	}
}

// all reports whether all numbers in [from, to) are in the set of root.
func (f *forest) all(from, to int, root uint32) bool {
	for i := from; i < to; i++ {
		if f.find(uint32(i)) != root {
			return false
		}
	}
	return true
}

// roots sets out, which must not be empty, to the roots of the numbers from first on, and returns
// the lowest and the highest of them.
func (f *forest) roots(out []uint32, first int) (low, high uint32) {
	low = f.find(uint32(first))
	for k := range out {
		out[k] = f.find(uint32(first + k))
		low, high = min(low, out[k]), max(high, out[k])
	}
	return low, high
}

// join joins the sets of two numbers.
func (f *forest) join(i, j uint32) {
	for {
		i, j = f.find(i), f.find(j)
		if i == j || f.parents[max(i, j)].CompareAndSwap(max(i, j), min(i, j)) {
			return
		}
	}
}
