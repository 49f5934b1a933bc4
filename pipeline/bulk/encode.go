// Package bulk turns many images into vectors: the loop that keeps decoder and model
// at work, the line that tells how far it is, and the flags of the machine it runs on.
package bulk

import (
	"context"
	"errors"

	"vicreg/pipeline/dataset"
	"vicreg/pipeline/encoder"
)

// batch is how many pictures are encoded at once; more gains nothing on a CPU and
// costs memory.
const batch = 32

// Represent is Encode for callers to whom a vector that is not finite is an error.
func Represent(ctx context.Context, enc *encoder.Encoder, r *dataset.Reader, indices []int,
	each func(p dataset.Picture, y []float32) error) error {
	return Encode(ctx, enc, r, indices, func(p dataset.Picture, y []float32) error {
		if !Finite(y) {
			return errors.New("the model's vectors are not finite: its file is damaged, or its training went astray")
		}
		return each(p, y)
	})
}

// Encode encodes the pictures with the given indices, a batch at a time while
// others are decoded, and calls each with them in order. Pixels are valid during the
// call, whose error ends all; a vector is each's own. Bad files are left out and are in
// r.Quarantined().
func Encode(ctx context.Context, enc *encoder.Encoder, r *dataset.Reader, indices []int,
	each func(p dataset.Picture, y []float32) error) error {
	size := 3 * enc.Size() * enc.Size()
	pixels := make([]uint8, 0, batch*size)
	var members []int
	flush := func() error {
		if len(members) == 0 {
			return nil
		}
		y, err := enc.Encode(ctx, pixels, len(members))
		if err != nil {
			return err
		}
		for i, index := range members {
			p := dataset.Picture{Index: index, Pixels: pixels[i*size : (i+1)*size]}
			if err := each(p, y[i*enc.Dim():(i+1)*enc.Dim()]); err != nil {
				return err
			}
		}
		pixels, members = pixels[:0], members[:0]
		return nil
	}
	for p, err := range dataset.Images(ctx, r, indices, enc.Metadata().Preprocess, 0) {
		if err != nil {
			return err
		}
		pixels, members = append(pixels, p.Pixels...), append(members, p.Index)
		if len(members) == batch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// Finite tells whether values holds no NaN and no infinity.
func Finite(values []float32) bool {
	for _, v := range values {
		if v-v != 0 {
			return false
		}
	}
	return true
}
