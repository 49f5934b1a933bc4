package ort

/*
#include <stdlib.h>
#include "loader.h"
*/
import "C"

import "unsafe"

// load loads a library for good, for all that is loaded later, and returns the file it
// is. A name without a folder is looked for in the loader's own places: those of
// LD_LIBRARY_PATH and of the system's configuration.
func load(name string) (path string, err error) {
	n := C.CString(name)
	defer C.free(unsafe.Pointer(n))
	var p *C.char
	if err := failure(C.vr_load(n, &p)); err != nil {
		return "", err
	}
	defer C.free(unsafe.Pointer(p))
	return C.GoString(p), nil
}

// askCUDA asks the loaded CUDA runtime what the driver is for, 13010 for CUDA 13.1 and
// 0 when there is none, and how many devices it has.
func askCUDA() (version, devices int, err error) {
	var v, n C.int
	err = failure(C.vr_cuda(&v, &n))
	return int(v), int(n), err
}

// cudnnCUDA is the version of CUDA that a cuDNN is made for, 0 when it does not say, and
// the file it is; of a name without a folder that which load would find. It is not
// loaded by that.
func cudnnCUDA(name string) (version int, path string, err error) {
	n := C.CString(name)
	defer C.free(unsafe.Pointer(n))
	var p *C.char
	var v C.int
	if err := failure(C.vr_cudnn_cuda(n, &p, &v)); err != nil {
		return 0, "", err
	}
	defer C.free(unsafe.Pointer(p))
	return int(v), C.GoString(p), nil
}
