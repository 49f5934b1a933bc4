//go:build turbojpeg

package imaging

// jpegTolerance is how far a JPEG's pixels may be from Pillow's.
const (
	jpegTolerance = 0
	turboBuilt    = true
)
