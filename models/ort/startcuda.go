package ort

/*
#include <stdlib.h>
#include "device.h"
*/
import "C"

import (
	"fmt"
	"path/filepath"
	"unsafe"
)

// startCUDA registers the CUDA provider of the runtime in dir, so that the runtime can copy to
// CUDA devices outside of runs. CUDA must have been found.
func startCUDA(dir string) error {
	name, path := C.CString("CUDA"), C.CString(filepath.Join(dir, "libonnxruntime_providers_cuda.so"))
	defer C.free(unsafe.Pointer(name))
	defer C.free(unsafe.Pointer(path))
	if err := failure(C.vr_register_provider(name, path)); err != nil {
		return fmt.Errorf("start cuda: %w", err)
	}
	return nil
}
