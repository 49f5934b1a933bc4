//go:build !cgo || !amd64

package scan

// native returns nil: this processor has no C kernels, or the program is built without cgo.
func native() []kernel { return nil }
