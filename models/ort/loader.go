package ort

/*
#include <stdlib.h>
#include "loader.h"
*/
import "C"

import "unsafe"

// load loads a library permanently, with its symbols visible to those loaded later, and returns
// its file. A name without a folder is looked up on the loader's search path: LD_LIBRARY_PATH and
// the system's configuration.
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

// askCUDA queries the loaded CUDA runtime for the version that the driver supports, 13010 for
// CUDA 13.1 and 0 without a driver, and for the number of devices.
func askCUDA() (version, devices int, err error) {
	var v, n C.int
	err = failure(C.vr_cuda(&v, &n))
	return int(v), int(n), err
}

// cudnnCUDA returns the CUDA version that a cuDNN is built for, 0 if it does not say, and its
// file. A name without a folder is looked up as by load. The library does not stay loaded.
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
