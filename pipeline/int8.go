package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math"

	"vicreg/models"
	"vicreg/models/onnx"
	"vicreg/models/ort"
	"vicreg/models/quantize"
	"vicreg/models/tensor"
	"vicreg/pipeline/bulk"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/stats"
	"vicreg/pipeline/usage"
)

const (
	calibrationImages = 256 // for the ranges of activations
	calibrationBatch  = 16
	comparedImages    = 256  // further ones, for comparing the vectors with float32
	fewCompared       = 16   // with fewer than this, the calibration images are compared too
	leastCosine       = 0.95 // minimum mean cosine between int8 and float32 vectors, both less the float32 mean
)

// quantized is a backbone in 8-bit integers.
type quantized struct {
	model       *onnx.ModelProto
	enc         *encoder.Encoder
	metadata    encoder.Quantization
	mean, worst float64 // cosines with the float32 vectors
	sameNearest float64 // fraction of images with the same nearest neighbour
	compared    int     // images
	which       string  // whether they differ from the calibration images
}

// quantize converts a model, whose float32 encoder is full, to int8 with activation ranges from
// half of a sample of training images, and compares the two on the other half. The caller closes
// q.enc.
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
	fmt.Fprintf(e.stderr, "measuring activation ranges on %s\n", usage.Count(len(shown), "training image"))
	ranges, seen, err := e.observe(ctx, lib, model, full, reader, shown)
	if err != nil {
		return nil, fmt.Errorf("activation ranges: %w", err)
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
		return nil, fmt.Errorf("check the int8 model: %w", err)
	}
	if err := q.compare(ctx, full, reader, others); err != nil {
		q.enc.Close()
		return nil, fmt.Errorf("compare the int8 model with float32: %w", err)
	}
	return q, nil
}

// observe runs a model on images and returns the ranges of the values to quantize.
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

// compare measures how close the vectors are to the float32 ones. It fails if they are too far off.
func (q *quantized) compare(ctx context.Context, full *encoder.Encoder, reader *dataset.Reader, chosen []int) error {
	want, got := stats.New(0, full.Dim()), stats.New(0, full.Dim())
	err := bulk.Represent(ctx, full, reader, chosen, func(p dataset.Picture, y []float32) error {
		x, err := q.enc.Encode(ctx, p.Pixels, 1)
		appendRow(&want, y)
		appendRow(&got, x)
		return err
	})
	if err == nil && want.N == 0 {
		err = errNoPicture
	}
	if err != nil {
		return err
	}
	if want, got = distinct(want, got); want.N == 0 {
		return errors.New("all images give the same vector: the model cannot tell images apart, so there is nothing to compare")
	}
	q.compared, q.worst = want.N, 1
	same, nearest := 0, nearestOf(got)
	for i, at := range nearestOf(want) {
		c := cosine(want.Row(i), got.Row(i))
		q.mean += c / float64(want.N)
		q.worst = min(q.worst, c)
		if at == nearest[i] {
			same++
		}
	}
	q.sameNearest = float64(same) / float64(want.N)
	q.metadata.Cosine = math.Round(q.mean*1e4) / 1e4
	if !(q.mean >= leastCosine) {
		return fmt.Errorf("the mean cosine of their centred vectors is %.3f, below the required %g: nothing was written", q.mean, leastCosine)
	}
	return nil
}

// distinct subtracts the mean of the wanted vectors from both, and drops the images whose wanted
// vector equals the mean up to rounding: those have no direction.
func distinct(want, got stats.Matrix) (w, g stats.Matrix) {
	const rounding = 1e-5
	mean := meanRow(want)
	centered, others := minus(want, mean), minus(got, mean)
	w, g = stats.New(0, want.D), stats.New(0, got.D)
	for i := range want.N {
		if stats.Norm(centered.Row(i)) > rounding*stats.Norm(want.Row(i)) {
			appendRow(&w, centered.Row(i))
			appendRow(&g, others.Row(i))
		}
	}
	return w, g
}

// cosine is the cosine similarity of two vectors; 1 if both are zero, 0 if one is.
func cosine(a, b []float32) float64 {
	var ab float64
	for i, v := range a {
		ab += float64(v) * float64(b[i])
	}
	switch la, lb := stats.Norm(a), stats.Norm(b); {
	case la == 0 && lb == 0:
		return 1
	case la == 0 || lb == 0:
		return 0
	default:
		return ab / (la * lb)
	}
}

// nearestOf returns for each row the index of the other row with the largest cosine, -1 if there is
// none.
func nearestOf(m stats.Matrix) []int {
	at := make([]int, m.N)
	for i, near := range stats.Neighbors(m, m, 2) {
		at[i] = -1
		for _, n := range near {
			if n.Index != i {
				at[i] = n.Index
				break
			}
		}
	}
	return at
}
