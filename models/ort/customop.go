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

// customOps registers the operators of customop.h with these session options. A graph that has
// one does not load if cuDNN or NVRTC lacks a function that they call.
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

// collectives registers the operators of opgroup.h with these session options.
func (o Options) collectives(so *onnxruntime.SessionOptions) error {
	p, err := pointerOf(so)
	if err != nil {
		return err
	}
	return failure(C.vr_add_collectives(p))
}

// pointerOf returns the runtime's session options inside onnxruntime_go's.
func pointerOf(so *onnxruntime.SessionOptions) (handle, error) {
	p := reflect.ValueOf(so).Elem().FieldByName("o")
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return nil, errors.New("this release of onnxruntime_go keeps its session options elsewhere")
	}
	return p.UnsafePointer(), nil
}
