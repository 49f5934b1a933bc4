package ort

/*
#include "device.h"
*/
import "C"

import "fmt"

// Capability returns the compute capability of a CUDA device, 8 and 0 for 8.0. CUDA must have
// been found.
func (d Device) Capability() (major, minor int, err error) {
	var a, b C.int
	if err := failure(C.vr_capability(C.int(d.Index), &a, &b)); err != nil {
		return 0, 0, fmt.Errorf("look at %v: %w", d, err)
	}
	return int(a), int(b), nil
}
