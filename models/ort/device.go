package ort

import (
	"fmt"
	"strconv"
	"strings"

	"vicreg/models/tensor"
)

// Device is what a session runs on. The zero value is the host's processors.
type Device struct {
	Kind  tensor.Device
	Index int // of the CUDA device, from 0; 0 for the host
}

// maxDevices is more than any machine holds.
const maxDevices = 1024

// ParseDevice reads "cpu", "cuda" or "cuda:1".
func ParseDevice(text string) (Device, error) {
	name, index, numbered := strings.Cut(text, ":")
	switch {
	case text == "cpu":
		return Device{}, nil
	case name == "cuda" && !numbered:
		return Device{Kind: tensor.CUDA}, nil
	case name == "cuda":
		if i, err := strconv.Atoi(index); err == nil && i >= 0 && i < maxDevices && strconv.Itoa(i) == index {
			return Device{Kind: tensor.CUDA, Index: i}, nil
		}
	}
	return Device{}, fmt.Errorf("unknown device %q: want cpu, cuda, or cuda:1 for the second CUDA device", text)
}

// String returns the form that ParseDevice reads.
func (d Device) String() string {
	if d.Index > 0 {
		return fmt.Sprintf("%v:%d", d.Kind, d.Index)
	}
	return d.Kind.String()
}

// provider returns the runtime's name for the device's execution provider, without the suffix.
func (d Device) provider() string { return strings.ToUpper(d.Kind.String()) }
