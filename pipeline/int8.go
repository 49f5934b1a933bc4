package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"vicreg/models"
	"vicreg/models/onnx"
	"vicreg/models/ort"
	"vicreg/models/quantize"
	"vicreg/models/tensor"
	"vicreg/pipeline/bulk"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/encoder"
)

const (
	calibrationImages = 256 // show the ranges of activations
	calibrationBatch  = 16
	comparedImages    = 256  // others, whose vectors are compared with those of float32
	fewCompared       = 16   // are too few to tell much: then those that showed the ranges are, too
	leastCosine       = 0.95 // of a vector in int8 with the one in float32, less their mean; in the mean
)

// quantized is a backbone in 8-bit integers.
type quantized struct {
	model       *onnx.ModelProto
	enc         *encoder.Encoder
	metadata    encoder.Quantization
	mean, worst float64 // cosines with the vectors of float32
	sameNearest float64 // share of images whose nearest neighbour is the same
	compared    int     // images
	which       string  // whether they are others than those that showed the ranges
}

// quantize makes integers of a model whose encoder is full, with ranges from some of the
// training images, and compares it on others. The caller closes the encoder in q.
func (e *export) quantize(ctx context.Context, lib *ort.Runtime, model *onnx.ModelProto, full *encoder.Encoder, reader *dataset.Reader) (q *quantized, err error) {
	chosen := evenly(e.images.Len(), calibrationImages+comparedImages)
	var shown, others []int
	for i, c := range chosen {
		if i%2 == 0 {
			shown = append(shown, c)
		} else {
			others = append(others, c)
		}
	}
	which := "other"
	if len(others) < fewCompared {
		others, which = chosen, "of the same"
	}
	fmt.Fprintf(e.stderr, "looking at %d training images for the ranges of activations\n", len(shown))
	ranges, seen, err := e.observe(ctx, lib, model, full, reader, shown)
	if err != nil {
		return nil, fmt.Errorf("ranges of activations: %w", err)
	}
	q = &quantized{which: which, metadata: encoder.Quantization{Weights: "int8", Activations: "uint8", Images: seen}}
	if q.model, err = quantize.Int8(model, ranges); err != nil {
		return nil, err
	}
	file, err := onnx.Marshal(q.model)
	if err != nil {
		return nil, err
	}
	if q.enc, err = encoder.New(lib, file, e.machine.Alone()); err != nil {
		return nil, fmt.Errorf("check the model in int8: %w", err)
	}
	if err := q.compare(ctx, full, reader, others); err != nil {
		q.enc.Close()
		return nil, fmt.Errorf("compare the model in int8 with float32: %w", err)
	}
	return q, nil
}

// observe runs a model on images and returns the ranges of what is to be integers.
func (e *export) observe(ctx context.Context, lib *ort.Runtime, model *onnx.ModelProto, full *encoder.Encoder, reader *dataset.Reader, chosen []int) (map[string]quantize.Range, int, error) {
	values, err := quantize.Values(model)
	if err != nil {
		return nil, 0, err
	}
	observed, err := quantize.Observe(model, values)
	if err != nil {
		return nil, 0, err
	}
	file, err := onnx.Marshal(observed)
	if err != nil {
		return nil, 0, err
	}
	session, err := lib.NewSession(file, e.machine.Alone())
	if err != nil {
		return nil, 0, err
	}
	defer session.Close()
	ranges, images, s := map[string]quantize.Range{}, 0, full.Size()
	var pixels []uint8
	look := func() error {
		n := len(pixels) / (3 * s * s)
		out, err := session.RunContext(ctx, tensor.Batch{models.Pixels: tensor.Of(pixels, n, s, s, 3)})
		if err == nil {
			quantize.Add(ranges, values, out)
			images, pixels = images+n, pixels[:0]
		}
		return err
	}
	err = bulk.Represent(ctx, full, reader, chosen, func(p dataset.Picture, _ []float32) error {
		if pixels = append(pixels, p.Pixels...); len(pixels) == calibrationBatch*3*s*s {
			return look()
		}
		return nil
	})
	if err == nil && len(pixels) > 0 {
		err = look()
	}
	if err == nil && images == 0 {
		err = errNoPicture
	}
	return ranges, images, err
}

// compare measures how far the vectors are from those of float32. Vectors that are
// another thing are an error.
func (q *quantized) compare(ctx context.Context, full *encoder.Encoder, reader *dataset.Reader, chosen []int) error {
	var want, got [][]float32
	err := bulk.Represent(ctx, full, reader, chosen, func(p dataset.Picture, y []float32) error {
		x, err := q.enc.Encode(ctx, p.Pixels, 1)
		want, got = append(want, y), append(got, x)
		return err
	})
	if err == nil && len(want) == 0 {
		err = errNoPicture
	}
	if err != nil {
		return err
	}
	want, got = distinct(want, got)
	if len(want) == 0 {
		return errors.New("all images give one and the same vector: the model tells nothing apart, and there is nothing to compare")
	}
	q.compared, q.worst = len(want), 1
	same := 0
	for i := range want {
		c := cosine(want[i], got[i])
		q.mean += c / float64(len(want))
		q.worst = min(q.worst, c)
		if nearest(want, i) == nearest(got, i) {
			same++
		}
	}
	q.sameNearest = float64(same) / float64(len(want))
	q.metadata.Cosine = math.Round(q.mean*1e4) / 1e4
	if !(q.mean >= leastCosine) {
		return fmt.Errorf("the cosine of their vectors, less the mean, is %.3f, and at least %g is wanted: nothing was written", q.mean, leastCosine)
	}
	return nil
}

// distinct takes the mean of the wanted vectors off both, and leaves out those that are it,
// but for rounding: they have no direction.
func distinct(want, got [][]float32) (w, g [][]float32) {
	const rounding = 1e-5
	lengths := make([]float64, len(want))
	for i, y := range want {
		lengths[i] = length(y)
	}
	center(want, got)
	for i := range want {
		if length(want[i]) > rounding*lengths[i] {
			w, g = append(w, want[i]), append(g, got[i])
		}
	}
	return w, g
}

func length(y []float32) float64 {
	var squares float64
	for _, v := range y {
		squares += float64(v) * float64(v)
	}
	return math.Sqrt(squares)
}

// center takes the mean of the wanted vectors off both.
func center(want, got [][]float32) {
	mean := make([]float64, len(want[0]))
	for _, y := range want {
		for i, v := range y {
			mean[i] += float64(v) / float64(len(want))
		}
	}
	for _, y := range slices.Concat(want, got) {
		for i := range y {
			y[i] -= float32(mean[i])
		}
	}
}

// cosine is that of the angle of two vectors; 1 of two without length, and 0 where one
// has none.
func cosine(a, b []float32) float64 {
	var ab float64
	for i, v := range a {
		ab += float64(v) * float64(b[i])
	}
	switch la, lb := length(a), length(b); {
	case la == 0 && lb == 0:
		return 1
	case la == 0 || lb == 0:
		return 0
	default:
		return ab / (la * lb)
	}
}

// nearest is the vector of the largest cosine with vector i, other than that.
func nearest(all [][]float32, i int) int {
	best, at := math.Inf(-1), -1
	for k, y := range all {
		if c := cosine(all[i], y); k != i && c > best {
			best, at = c, k
		}
	}
	return at
}
