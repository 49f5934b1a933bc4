package ort

/*
#include "customop.h"
#include "opgroup.h"
*/
import "C"

import (
	"errors"
	"reflect"

	onnxruntime "github.com/yalue/onnxruntime_go"
)

// customOps makes the operators of customop.h known to sessions of these options. A
// graph that has one is not loaded where cuDNN or NVRTC lacks what they call.
func (o Options) customOps(so *onnxruntime.SessionOptions) error {
	if err := giveKernels(); err != nil {
		return err
	}
	p, err := pointerOf(so)
	if err != nil {
		return err
	}
	return failure(C.vr_add_operators(p))
}

// collectives makes the operators of opgroup.h known to sessions of these options.
func (o Options) collectives(so *onnxruntime.SessionOptions) error {
	p, err := pointerOf(so)
	if err != nil {
		return err
	}
	return failure(C.vr_add_collectives(p))
}

// pointerOf is the runtime's own session options.
func pointerOf(so *onnxruntime.SessionOptions) (handle, error) {
	p := reflect.ValueOf(so).Elem().FieldByName("o")
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return nil, errors.New("this release of onnxruntime_go keeps its session options elsewhere")
	}
	return p.UnsafePointer(), nil
}
