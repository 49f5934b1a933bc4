//go:build turbojpeg

package imaging

/*
#cgo pkg-config: libturbojpeg
#cgo noescape decompress
#cgo nocallback decompress
#include <string.h>
#include <turbojpeg.h>

// Returns 2 when all is well, 1 when bytes were found that belong nowhere, which a
// later and worse warning may hide behind, 0 for anything else. The default
// transform and upsampling are those of Pillow.
static int decompress(void *t, const unsigned char *file, unsigned long size,
                      unsigned char *pix, int w, int h, int cmyk) {
	if (tjDecompress2(t, file, size, pix, w, 0, h, cmyk ? TJPF_CMYK : TJPF_RGB, 0) == 0)
		return 2;
	return strstr(tjGetErrorStr2(t), "extraneous bytes before marker") != NULL;
}
*/
import "C"

import (
	"runtime"
	"unsafe"
)

// turbo decodes with libjpeg-turbo: exactly like Pillow, which also uses it, and several times as
// fast as image/jpeg.
type turbo struct {
	handle *turboHandle
	inks   []uint8
}

type turboHandle struct {
	tj      unsafe.Pointer
	cleanup runtime.Cleanup
}

func (t *turbo) open() *turboHandle {
	if t.handle == nil {
		tj := unsafe.Pointer(C.tjInitDecompress())
		if tj == nil {
			return nil
		}
		t.handle = &turboHandle{tj: tj}
		t.handle.cleanup = runtime.AddCleanup(t.handle, func(tj unsafe.Pointer) { C.tjDestroy(C.tjhandle(tj)) }, tj)
	}
	return t.handle
}

func (t *turbo) close() {
	if t.handle != nil {
		t.handle.cleanup.Stop()
		C.tjDestroy(C.tjhandle(t.handle.tj))
		t.handle = nil
	}
}

// decode fills m, which has the size that the header announces: libjpeg-turbo is told the size and
// writes no more than that.
func (t *turbo) decode(m *RGB, data []byte, h *header) turboResult {
	handle := t.open()
	if handle == nil {
		return turboFailed
	}
	pix, cmyk := m.Pix, C.int(0)
	if h.jpeg.components == 4 {
		t.inks = grow(t.inks, 4*m.W*m.H)
		pix, cmyk = t.inks, 1
	}
	found := turboResult(C.decompress(handle.tj, (*C.uchar)(unsafe.SliceData(data)), C.ulong(len(data)),
		(*C.uchar)(unsafe.SliceData(pix)), C.int(m.W), C.int(m.H), cmyk))
	runtime.KeepAlive(handle)
	if cmyk == 1 && found != turboFailed {
		// Inverted, as Adobe stores them and as Pillow assumes for all of them.
		for i, v := range pix {
			pix[i] = 255 - v
		}
		inks(m.Pix, pix)
	}
	return found
}
