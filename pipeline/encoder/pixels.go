package encoder

import (
	"fmt"

	"vicreg/models/ort"
	"vicreg/models/tensor"
)

// Pixels is a reusable pixel buffer for a batch, for callers that encode one batch after another.
type Pixels struct {
	Data   []uint8 // nil once closed
	buffer *ort.Buffer
}

// NewPixels allocates a buffer for n images, uint8 [n, S, S, 3], in the memory from which transfers
// to the encoder's device are fastest; on the host there is no difference. Encode accepts any part
// of it, which may be refilled once Encode returns. It is valid until it or the encoder is closed.
func (e *Encoder) NewPixels(n int) (*Pixels, error) {
	s := e.Size()
	b, err := e.session.NewBuffer(tensor.Uint8, n, s, s, 3)
	if err != nil {
		return nil, fmt.Errorf("room for %d pictures: %w", n, err)
	}
	return &Pixels{Data: b.Data.([]uint8), buffer: b}, nil
}

// Close frees the memory. It is idempotent.
func (p *Pixels) Close() {
	p.buffer.Close()
	p.Data = nil
}
