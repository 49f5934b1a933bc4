package bulk

import (
	"context"

	"vicreg/pipeline/dataset"
	"vicreg/pipeline/encoder"
)

// EncodeOnADevice is Encode with the batch sizes for a device, computed on the host.
func EncodeOnADevice(ctx context.Context, enc *encoder.Encoder, r *dataset.Reader, indices []int,
	each func(p dataset.Picture, y []float32) error) (size int, err error) {
	sizes := learning()
	err = encode(ctx, enc, 1, sizes, r, indices, each)
	return sizes.next(), err
}
