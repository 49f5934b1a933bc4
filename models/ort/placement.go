package ort

/*
#include "device.h"
*/
import "C"

import (
	"cmp"
	"fmt"
	"runtime/cgo"
	"slices"
	"strings"
)

// Placed counts the nodes of one operator that an execution provider runs.
type Placed struct {
	Provider string // such as "CUDA"
	Operator string // as rule tables name it: "Conv", "com.microsoft.FusedMatMul"
	Nodes    int
}

// Placement reports where the graph of a session on a device runs, after the runtime's rewrites
// but without the copies that it adds: each operator that runs elsewhere than its neighbours
// costs a copy of what it reads and writes. Entries are sorted by provider and operator. Sessions
// on the host keep no such record.
func (s *Session) Placement() ([]Placed, error) {
	if s.session == nil {
		return nil, fmt.Errorf("placement: %w", errClosed)
	}
	counts := map[Placed]int{}
	h := cgo.NewHandle(counts)
	defer h.Delete()
	if err := failure(C.vr_each_node(s.session, C.uintptr_t(h))); err != nil {
		return nil, fmt.Errorf("placement: %w", err)
	}
	var all []Placed
	for p, n := range counts {
		p.Nodes = n
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b Placed) int {
		return cmp.Or(cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Operator, b.Operator))
	})
	return all, nil
}

//export vicregNode
func vicregNode(context C.uintptr_t, provider, domain, op *C.char) {
	p := Placed{Provider: strings.TrimSuffix(C.GoString(provider), "ExecutionProvider"), Operator: C.GoString(op)}
	if d := C.GoString(domain); d != "" && d != "ai.onnx" {
		p.Operator = d + "." + p.Operator
	}
	cgo.Handle(context).Value().(map[Placed]int)[p]++
}

// Strangers returns the entries of a placement that run on another provider than the device's.
func Strangers(placement []Placed, d Device) []Placed {
	return slices.DeleteFunc(slices.Clone(placement), func(p Placed) bool { return p.Provider == d.provider() })
}
