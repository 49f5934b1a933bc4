package ort

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// minDriver is the CUDA version that the provider is built for, in the form of CUDA.Driver.
// Driver 580 is the first to support it.
const minDriver = 13000

const installDriver = "install NVIDIA's driver, version 580 or later (in a container, also pass the GPU through, as docker run --gpus all does)"

// Check returns a one-line error that says what keeps the device of an index from being used and
// what to do about it, or nil.
func (c CUDA) Check(index int) error {
	var why []string
	var missing []CUDALibrary
	for _, l := range c.Libraries {
		switch {
		case l.Err == nil || l.Optional:
		case l.Err == errMissing && l.Package != "":
			missing = append(missing, l)
		default:
			why = append(why, l.Problem())
		}
	}
	if len(missing) > 0 {
		why = append(why, notFound(missing))
	}
	if len(why) == 0 {
		return c.checkDevice(index)
	}
	return fmt.Errorf("CUDA cannot be used: %s", strings.Join(why, "; "))
}

func (c CUDA) checkDevice(index int) error {
	switch {
	case c.err == nil && c.Driver == 0:
		return fmt.Errorf("CUDA cannot be used: there is no driver: %s", installDriver)
	case c.Driver > 0 && c.Driver < minDriver:
		return fmt.Errorf("CUDA cannot be used: the driver supports CUDA %s, but %s is needed: %s",
			cudaVersion(c.Driver), cudaVersion(minDriver), installDriver)
	case c.err != nil:
		return fmt.Errorf("CUDA has no usable device: %w", c.err)
	case c.Devices == 0:
		return fmt.Errorf("CUDA has no usable device: the driver reports none")
	case index >= c.Devices:
		return fmt.Errorf("there is no CUDA device %d: the first is 0, the last %d", index, c.Devices-1)
	}
	return nil
}

// Problem says what is wrong with a library and what to do about it. It is empty if the library
// was loaded.
func (l CUDALibrary) Problem() string {
	var other *otherCUDAError
	switch {
	case l.Err == nil:
		return ""
	case errors.As(l.Err, &other):
		return fmt.Sprintf("%s cannot be used: %v, but %s is needed: pip install %s, or %s",
			l.Name, l.Err, cudaVersion(minDriver), l.Package, orSay("install cuDNN 9 for CUDA 13", "its folder"))
	case l.Err != errMissing:
		return fmt.Sprintf("%s cannot be loaded: %v", l.Name, l.Err)
	case l.Package == "":
		return fmt.Sprintf("%s not found: %s", l.Name, installDriver)
	}
	return fmt.Sprintf("%s not found: pip install %s", l.Name, l.Package)
}

// notFound says in one line that several libraries are missing and what can be done about it.
func notFound(libraries []CUDALibrary) string {
	var names, packages []string
	for _, l := range libraries {
		names = append(names, l.Name)
		if !slices.Contains(packages, l.Package) {
			packages = append(packages, l.Package)
		}
	}
	return fmt.Sprintf("%s not found: pip install %s, or %s", strings.Join(names, ", "), strings.Join(packages, " "),
		orSay("install CUDA 13 and cuDNN 9", "their folders"))
}

// orSay names the alternatives to installing a package.
func orSay(install, folders string) string {
	if said := os.Getenv(EnvCUDA); said != "" {
		return "correct " + EnvCUDA + ", which says " + said
	}
	return install + ", or set " + EnvCUDA + " to " + folders
}

// DriverText returns what the driver is made for, in words: for CUDA 13.1.
func (c CUDA) DriverText() string {
	switch {
	case c.Driver > 0:
		return "for CUDA " + cudaVersion(c.Driver)
	case c.err != nil:
		return fmt.Sprintf("unknown: %v", c.err)
	}
	return "none"
}

func cudaVersion(n int) string { return fmt.Sprintf("%d.%d", n/1000, n%1000/10) }
