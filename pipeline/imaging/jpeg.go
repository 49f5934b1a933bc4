package imaging

import (
	"bytes"
	"image/jpeg"
)

func (d *Decoder) jpeg(m *RGB, data []byte, h *header) error {
	im, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		return err
	}
	return m.fill(im)
}
