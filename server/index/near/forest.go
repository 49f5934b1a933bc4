package near

import "sync/atomic"

// forest is sets of numbers that are joined two at a time. Any number of goroutines may
// use it at once.
type forest struct{ parents []atomic.Uint32 }

func newForest(n int) *forest {
	f := &forest{make([]atomic.Uint32, n)}
	for i := range f.parents {
		f.parents[i].Store(uint32(i))
	}
	return f
}

// find is the lowest number that i is joined to.
func (f *forest) find(i uint32) uint32 {
	for {
		p := f.parents[i].Load()
		if p == i {
			return i
		}
		if above := f.parents[p].Load(); above != p { // a shorter way for the next
			f.parents[i].CompareAndSwap(p, above)
		}
		i = p
	}
}

// all tells whether all numbers from from to to are joined to root.
func (f *forest) all(from, to int, root uint32) bool {
	for i := from; i < to; i++ {
		if f.find(uint32(i)) != root {
			return false
		}
	}
	return true
}

// roots sets out, of one number at least, to the lowest numbers that those from first on are
// joined to, and tells the lowest and the highest of them.
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
