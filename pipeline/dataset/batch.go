package dataset

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"vicreg/models/tensor"
)

// Batch is one step's pictures.
type Batch struct {
	Epoch, Index int
	// Tensors holds "view1" and "view2", both uint8 [N,S,S,3], N being the part of this
	// process. The user may add
	// entries of its own, which stay when the batch is used again.
	Tensors tensor.Batch

	rows  []int // indices in the set
	lost  []bool
	views [2][]uint8
	left  atomic.Int64  // rows not yet done
	done  chan struct{} // receives once, when every row is

	mu     sync.Mutex
	failed int // the first row that failed
	err    error
}

// newBatch makes a batch whose rows lie in the user's tensors, or in new ones.
func (c *LoaderConfig) newBatch() (*Batch, error) {
	n := c.part()
	shape := []int{n, c.Size, c.Size, 3}
	b := &Batch{rows: make([]int, n), lost: make([]bool, n), done: make(chan struct{}, 1)}
	if c.Alloc == nil {
		b.Tensors = tensor.Batch{"view1": tensor.New(tensor.Uint8, shape...), "view2": tensor.New(tensor.Uint8, shape...)}
	} else {
		var err error
		if b.Tensors, err = c.Alloc(); err != nil {
			return nil, err
		}
	}
	for i, name := range views {
		t := b.Tensors[name]
		if t == nil || t.Type != tensor.Uint8 || !slices.Equal(t.Shape, shape) {
			return nil, fmt.Errorf("no tensor %s for uint8%v", name, shape)
		}
		b.views[i] = t.Data.([]uint8)
	}
	return b, nil
}

// complete tells whether every row is there.
func (b *Batch) complete() bool { return b.left.Load() == 0 }

// views are the names of a batch's tensors.
var views = [...]string{"view1", "view2"}

// fail keeps the error of the first row that has one.
func (b *Batch) fail(row int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil || row < b.failed {
		b.failed, b.err = row, err
	}
}
