//go:build !cgo || !amd64

package scan

// native has no kernels for this processor, or the program was built without cgo.
func native() []kernel { return nil }
