package ort

/*
#include "customop.h"
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
	p := reflect.ValueOf(so).Elem().FieldByName("o")
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return errors.New("this release of onnxruntime_go keeps its session options elsewhere")
	}
	return failure(C.vr_add_operators(p.UnsafePointer()))
}
