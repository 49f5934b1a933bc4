package encoder

import (
	"fmt"

	"vicreg/models/ort"
	"vicreg/models/tensor"
)

// Pixels is room for the pictures of a batch, for those who encode one after the
// other.
type Pixels struct {
	Data   []uint8 // nil once it is closed
	buffer *ort.Buffer
}

// NewPixels makes room for n pictures, uint8 [n, S, S, 3], in memory from which the
// encoder's device takes them faster than from any other; on the host all memory is
// the same. Encode takes any part of it, and leaves it to be filled anew when it
// returns. It lives until it or the encoder is closed.
func (e *Encoder) NewPixels(n int) (*Pixels, error) {
	s := e.Size()
	b, err := e.session.NewBuffer(tensor.Uint8, n, s, s, 3)
	if err != nil {
		return nil, fmt.Errorf("room for %d pictures: %w", n, err)
	}
	return &Pixels{Data: b.Data.([]uint8), buffer: b}, nil
}

// Close frees the memory. It may be called again.
func (p *Pixels) Close() {
	p.buffer.Close()
	p.Data = nil
}
