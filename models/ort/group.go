package ort

/*
#include <stdlib.h>
#include "opgroup.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"time"
	"unsafe"
)

// Group are the processes that train one model together, as a library joins them:
// vicreg_group.h. Its methods are for one goroutine at a time, and not while a graph with
// collectives runs. Every process makes the same calls in the same order.
type Group struct {
	rank, size int
}

// JoinGroup loads the library at path and joins the group that it finds. A process may do
// so once.
func JoinGroup(path string) (*Group, error) {
	p := C.CString(path)
	defer C.free(unsafe.Pointer(p))
	var rank, size C.int
	if err := failure(C.vr_group_open(p, &rank, &size)); err != nil {
		return nil, fmt.Errorf("join the other processes: %w", err)
	}
	return &Group{int(rank), int(size)}, nil
}

// Rank is which of the processes this one is, from 0.
func (g *Group) Rank() int { return g.rank }

// Size is how many processes there are.
func (g *Group) Size() int { return g.size }

// AllGather returns the values of every process, by rank. All give as many.
func (g *Group) AllGather(mine []float32) ([]float32, error) {
	if len(mine) == 0 {
		return nil, errors.New("gather: no values")
	}
	all := make([]float32, g.size*len(mine))
	err := failure(C.vr_group_gather((*C.float)(unsafe.SliceData(mine)), C.size_t(len(mine)), (*C.float)(unsafe.SliceData(all))))
	if err != nil {
		return nil, fmt.Errorf("gather from the other processes: %w", err)
	}
	return all, nil
}

// Close leaves the group. What other processes still wait for never comes.
func (g *Group) Close() { C.vr_group_close() }

// Exchanged is what a process has exchanged with the others of its group.
type Exchanged struct {
	Count int           // calls of the library
	Bytes int64         // that this process gave
	Time  time.Duration // in them, also that of waiting for the others to come to the same call
}

// Exchanges gives what has been exchanged since it was last called, by graphs and by the
// methods of Group. It may be called at any time.
func Exchanges() Exchanged {
	var all C.vr_exchanges
	C.vr_take_exchanges(&all)
	return Exchanged{int(all.count), int64(all.values) * C.sizeof_float, seconds(all.seconds)}
}
