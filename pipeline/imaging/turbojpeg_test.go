//go:build turbojpeg

package imaging

// jpegTolerance is the tolerated difference of a JPEG's pixels from Pillow's.
const (
	jpegTolerance = 0
	turboBuilt    = true
)
