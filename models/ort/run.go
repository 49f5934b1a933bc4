package ort

/*
#include <stdlib.h>
#include "device.h"
*/
import "C"

import (
	"context"
	"errors"
	"unsafe"
)

// runUntil runs a session once, on the calling thread, and stops it when ctx ends.
func (s *Session) runUntil(ctx context.Context, b binding) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if ctx.Done() == nil {
		return run(s.session, nil, b)
	}
	var options handle
	if err := failure(C.vr_run_options(&options)); err != nil {
		return err
	}
	defer C.vr_release_run_options(options)
	told := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() { told <- failure(C.vr_terminate(options)) })
	err := run(s.session, options, b)
	if !stop() {
		// AfterFunc has begun to use the options: they must outlive it.
		return errors.Join(err, <-told)
	}
	return err
}

// runOptions makes run options with one setting. Release them after the last run.
func runOptions(key, value string) (options handle, err error) {
	k, v := C.CString(key), C.CString(value)
	defer C.free(unsafe.Pointer(k))
	defer C.free(unsafe.Pointer(v))
	if err := failure(C.vr_run_options(&options)); err != nil {
		return nil, err
	}
	return options, failure(C.vr_run_config(options, k, v))
}

func releaseRunOptions(options handle) {
	if options != nil {
		C.vr_release_run_options(options)
	}
}
