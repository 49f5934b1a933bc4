package pipeline

import (
	"context"
	"fmt"
	"math"

	"vicreg/models"
	"vicreg/models/onnx"
	"vicreg/models/ort"
	"vicreg/models/tensor"
	"vicreg/pipeline/bulk"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/usage"
)

const (
	centerImages = 2048 // at most, for the mean representation
	parityImages = 16   // compared with the training graph
	parityLimit  = 1e-5 // relative to the length of a representation
	deviceLimit  = 1e-4 // the same on a device, whose convolutions round more
)

// proof is the result of running an exported model on images.
type proof struct {
	model              *onnx.ModelProto // to be written: the model verified, or its int8 version
	fingerprint        string
	apart              float64    // from the training graph
	compared, averaged int        // images
	int8               *quantized // nil without --int8
}

// prove runs the model, which must agree with the training graph, and then quantizes it if
// requested. It sets the mean vector in metadata.
func (e *export) prove(ctx context.Context, model *onnx.ModelProto, metadata *encoder.Metadata) (p proof, err error) {
	lib, err := e.machine.Open()
	if err != nil {
		return p, err
	}
	file, err := onnx.Marshal(model)
	if err != nil {
		return p, err
	}
	opt := e.machine.Alone()
	enc, err := encoder.New(lib, file, opt)
	if err != nil {
		return p, fmt.Errorf("check the exported model: %w", err)
	}
	defer enc.Close()
	reader := dataset.NewReader(e.images, dataset.ReaderConfig{Limits: e.config.Limits(), Conversion: e.config.Conversion})
	if p.apart, p.compared, err = parity(ctx, lib, opt, &e.config, e.values, enc, reader); err != nil {
		return p, err
	}
	if limit := e.limit(); !(p.apart <= limit) {
		return p, fmt.Errorf("on images of the run, the exported model differs from the training graph by %.2g of a vector's length, more than %g: nothing was written", p.apart, limit)
	}
	p.model = model
	if e.int8 {
		if p.int8, err = e.quantize(ctx, lib, model, enc, reader); err != nil {
			return p, err
		}
		p.model, enc = p.int8.model, p.int8.enc
		defer enc.Close()
		metadata.Training.Quantization = &p.int8.metadata
	}
	p.fingerprint = enc.Fingerprint()
	chosen := evenly(e.images.Len(), centerImages)
	fmt.Fprintf(e.stderr, "encoding %d of %s for their mean\n", len(chosen), usage.Count(e.images.Len(), "training image"))
	p.averaged, err = meanVector(ctx, enc, reader, chosen, metadata.Center)
	for _, b := range reader.Quarantined() {
		fmt.Fprintf(e.stderr, "skipped %s: %s\n", usage.Printable(b.Key), usage.Printable(b.Reason))
	}
	return p, err
}

// limit is the largest permitted distance from the training graph.
func (e *export) limit() float64 {
	if e.machine.OnHost() {
		return parityLimit
	}
	return deviceLimit
}

// parity compares an exported backbone with the graph it comes from, in evaluation mode with the
// parameters in values, on some real images. It returns the largest relative distance between two
// vectors and the number of images compared. Non-finite vectors are an error.
func parity(ctx context.Context, lib *ort.Runtime, opt ort.Options, c *Config, values map[string]*tensor.Tensor,
	enc *encoder.Encoder, r *dataset.Reader) (apart float64, images int, err error) {
	var pixels []uint8
	var got []float32
	chosen := evenly(r.Set().Len(), parityImages)
	err = bulk.Represent(ctx, enc, r, chosen, func(p dataset.Picture, y []float32) error {
		pixels, got = append(pixels, p.Pixels...), append(got, y...)
		images++
		return nil
	})
	if err == nil && images == 0 {
		err = errNoPicture
	}
	if err != nil {
		return 0, 0, fmt.Errorf("compare with the training graph: %w", err)
	}
	want, err := evaluate(ctx, lib, opt, c, values, tensor.Of(pixels, images, c.Size, c.Size, 3))
	if err != nil {
		return 0, 0, fmt.Errorf("compare with the training graph: %w", err)
	}
	d := enc.Dim()
	for i := range images {
		a := distance(got[i*d:(i+1)*d], want[i*d:(i+1)*d])
		if a-a != 0 {
			return 0, 0, fmt.Errorf("compare with the training graph: vectors are not finite; the run has diverged")
		}
		apart = max(apart, a)
	}
	return apart, images, nil
}

// evaluate runs the backbone with its parameters as inputs and its stored statistics on pixels,
// uint8 [N, S, S, 3].
func evaluate(ctx context.Context, lib *ort.Runtime, opt ort.Options, c *Config, values map[string]*tensor.Tensor, pixels *tensor.Tensor) ([]float32, error) {
	a, err := models.Represent(c.graphs(0))
	if err != nil {
		return nil, err
	}
	model, err := a.Graph.Marshal()
	if err != nil {
		return nil, err
	}
	session, err := lib.NewSession(model, opt)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	batch := tensor.Batch{models.Pixels: pixels}
	for _, p := range a.Params {
		batch[p.Name] = values[p.Name]
	}
	out, err := session.RunContext(ctx, batch)
	if err != nil {
		return nil, err
	}
	return out[models.Embedding].Float32(), nil
}

// distance is the length of got - want relative to that of want.
func distance(got, want []float32) float64 {
	var d, w float64
	for i := range want {
		d += math.Pow(float64(got[i])-float64(want[i]), 2)
		w += math.Pow(float64(want[i]), 2)
	}
	if d == 0 { // even if both are zero
		return 0
	}
	return math.Sqrt(d / w)
}

// meanVector sets center to the mean vector over the chosen images and returns how many could be
// read.
func meanVector(ctx context.Context, enc *encoder.Encoder, r *dataset.Reader, chosen []int, center []float32) (count int, err error) {
	total := make([]float64, len(center))
	err = bulk.Represent(ctx, enc, r, chosen, func(_ dataset.Picture, y []float32) error {
		count++
		for i, v := range y {
			total[i] += float64(v)
		}
		return nil
	})
	if err == nil && count == 0 {
		err = errNoPicture
	}
	if err != nil {
		return 0, fmt.Errorf("mean vector of the training images: %w", err)
	}
	for i, v := range total {
		center[i] = float32(v / float64(count))
	}
	return count, nil
}
