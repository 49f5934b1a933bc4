package ort

/*
#include "kernels.h"
*/
import "C"

import (
	"embed"
	"io/fs"
	"path"
	"strings"
	"sync"
)

//go:embed kernels
var kernels embed.FS

// giveKernels passes the sources of our kernels to the C side, which keeps them.
var giveKernels = sync.OnceValue(func() error {
	return fs.WalkDir(kernels, "kernels", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := kernels.ReadFile(file)
		if err != nil {
			return err
		}
		name := strings.TrimSuffix(path.Base(file), path.Ext(file))
		C.vr_kernel_source(C.CString(name), C.CString(string(text)))
		return nil
	})
})
