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

// Group is the set of processes that train one model together, joined by a library as
// vicreg_group.h describes it. Its methods are not safe for concurrent use, nor while a graph
// with collectives runs. Every process must make the same calls in the same order.
type Group struct {
	rank, size int
}

// JoinGroup loads the library at path and joins its group. A process may call it once.
func JoinGroup(path string) (*Group, error) {
	p := C.CString(path)
	defer C.free(unsafe.Pointer(p))
	var rank, size C.int
	if err := failure(C.vr_group_open(p, &rank, &size)); err != nil {
		return nil, fmt.Errorf("join the other processes: %w", err)
	}
	return &Group{int(rank), int(size)}, nil
}

// Rank returns the rank of this process, from 0.
func (g *Group) Rank() int { return g.rank }

// Size returns the number of processes.
func (g *Group) Size() int { return g.size }

// AllGather returns the values of every process, by rank. All must pass the same number.
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

// Close leaves the group. Processes still waiting for this one wait for ever.
func (g *Group) Close() { C.vr_group_close() }

// Exchanged is what a process has exchanged with the others of its group.
type Exchanged struct {
	Count int           // calls into the library
	Bytes int64         // passed by this process
	Time  time.Duration // in those calls, including the wait for the others to make the same call
}

// Exchanges returns what graphs and the methods of Group have exchanged since its last call. It
// may be called at any time.
func Exchanges() Exchanged {
	var all C.vr_exchanges
	C.vr_take_exchanges(&all)
	return Exchanged{int(all.count), int64(all.values) * C.sizeof_float, seconds(all.seconds)}
}
