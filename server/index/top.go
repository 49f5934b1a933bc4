package index

import (
	"cmp"
	"slices"
)

// found is a row with its score.
type found struct {
	place place
	id    string
	score float32
}

// better orders hits by score, and equal ones by id, so that an answer is always the same.
func better(a, b found) int {
	if c := cmp.Compare(b.score, a.score); c != 0 {
		return c
	}
	return cmp.Compare(a.id, b.id)
}

// top keeps the k best rows added, in a heap with the worst of them first.
type top struct {
	k    int
	heap []found
}

// full reports whether there are k rows: then only a row better than the worst changes anything.
func (t *top) full() bool { return len(t.heap) == t.k }

// worst returns the score to beat when full.
func (t *top) worst() float32 { return t.heap[0].score }

// add inserts a row if it is one of the k best so far.
func (t *top) add(f found) {
	if !t.full() {
		t.heap = append(t.heap, f)
		t.up(len(t.heap) - 1)
		return
	}
	if better(f, t.heap[0]) < 0 {
		t.heap[0] = f
		t.down(0)
	}
}

func (t *top) up(i int) {
	for i > 0 && better(t.heap[i], t.heap[(i-1)/2]) > 0 {
		t.heap[i], t.heap[(i-1)/2] = t.heap[(i-1)/2], t.heap[i]
		i = (i - 1) / 2
	}
}

func (t *top) down(i int) {
	for {
		least := i
		for _, child := range []int{2*i + 1, 2*i + 2} {
			if child < len(t.heap) && better(t.heap[child], t.heap[least]) > 0 {
				least = child
			}
		}
		if least == i {
			return
		}
		t.heap[i], t.heap[least] = t.heap[least], t.heap[i]
		i = least
	}
}

// sorted returns the rows, best first. t must not be used afterwards.
func (t *top) sorted() []found {
	slices.SortFunc(t.heap, better)
	return t.heap
}
