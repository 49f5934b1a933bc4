package dataset

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"vicreg/models/tensor"
)

// Batch holds the images of one step.
type Batch struct {
	Epoch, Index int
	// Tensors holds "view1" and "view2", both uint8 [N,S,S,3], where N is this process's share of
	// the batch. The user may add further entries; they persist when the batch is reused.
	Tensors tensor.Batch

	rows  []int // indices in the set
	lost  []bool
	views [2][]uint8
	left  atomic.Int64  // rows still to be filled
	done  chan struct{} // signalled once, when all rows are filled

	mu     sync.Mutex
	failed int // lowest row that failed
	err    error
}

// newBatch makes a batch backed by tensors from Alloc, or by new ones without it.
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

// complete reports whether every row is filled.
func (b *Batch) complete() bool { return b.left.Load() == 0 }

// views are the names of a batch's tensors.
var views = [...]string{"view1", "view2"}

// fail records an error, keeping that of the lowest failing row.
func (b *Batch) fail(row int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil || row < b.failed {
		b.failed, b.err = row, err
	}
}
