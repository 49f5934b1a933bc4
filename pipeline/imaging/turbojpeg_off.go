//go:build !turbojpeg

package imaging

// turbo replaces libjpeg-turbo in a build without it.
type turbo struct{}

func (*turbo) decode(*RGB, []byte, *header) turboResult { return turboFailed }

func (*turbo) close() {}
