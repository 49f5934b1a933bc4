// Package encoder turns images into embedding vectors with an exported backbone: with the same
// pixels as in training and evaluation, and the graph as it was exported. Serving needs nothing
// else of the program.
package encoder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"vicreg/models/onnx"
	"vicreg/models/ort"
	"vicreg/models/tensor"
	"vicreg/pipeline/imaging"
)

// Encoder is a backbone ready to run. All methods but Close are safe for concurrent use; each
// Preprocessor belongs to one goroutine.
type Encoder struct {
	// Limits of the accepted images; to be set before first use.
	Limits imaging.Limits

	session       *ort.Session
	others        []*Encoder // the same model on further sessions
	input, output string
	metadata      *Metadata
	fingerprint   string
}

// Open loads the model file at path, written by vicreg export. The caller closes the encoder. It is
// an error if the file is not an ONNX model, fails its checksum, has no vicreg metadata
// (ErrForeign) or that of a newer version, or has a graph that does not match its metadata. Each of
// more opens another session, with another copy of the weights in memory; see On. On a device,
// float16 weights imply TF32.
func Open(rt *ort.Runtime, path string, opt ort.Options, more ...ort.Options) (*Encoder, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("open encoder: %w", err)
	}
	e, err := New(rt, file, opt, more...)
	if err != nil {
		return nil, fmt.Errorf("open encoder %s: %w", path, err)
	}
	return e, nil
}

// New is Open for the bytes of a file, which may be reused after it returns.
func New(rt *ort.Runtime, file []byte, opt ort.Options, more ...ort.Options) (*Encoder, error) {
	model, err := read(file)
	if err != nil {
		return nil, err
	}
	metadata, err := ReadMetadata(onnx.Metadata(model))
	if err != nil {
		return nil, err
	}
	return load(rt, model, file, metadata, opt, more...)
}

// read parses a file after verifying its checksum, if it has one.
func read(file []byte) (*onnx.ModelProto, error) {
	if err := intact(file); err != nil {
		return nil, err
	}
	model, err := onnx.Unmarshal(file)
	if err != nil {
		return nil, fmt.Errorf("not an ONNX model, or a truncated one: %w", err)
	}
	if bytes.HasPrefix(file, []byte(checksumHead)) {
		return model, nil
	}
	return model, unchanged(model)
}

// load builds an encoder from a model and its metadata, whatever their origin.
func load(rt *ort.Runtime, model *onnx.ModelProto, file []byte, metadata *Metadata, opt ort.Options, more ...ort.Options) (*Encoder, error) {
	fingerprint, err := Fingerprint(model, metadata.Preprocess)
	if err != nil {
		return nil, err
	}
	if metadata.Training.Quantization != nil && opt.Device.Kind != tensor.Host {
		return nil, errors.New("the model uses 8-bit integers, which only CPUs support; export it without --int8 for a CUDA device")
	}
	e := &Encoder{metadata: metadata, fingerprint: fingerprint}
	for i, o := range append([]ort.Options{opt}, more...) {
		on := e
		if i > 0 {
			on = &Encoder{metadata: metadata, fingerprint: fingerprint}
			e.others = append(e.others, on)
		}
		if on.session, err = rt.NewSession(file, suited(o, model)); err == nil {
			err = on.connect(on.session.Inputs(), on.session.Outputs())
		}
		if err != nil {
			return nil, errors.Join(err, e.Close())
		}
	}
	return e, nil
}

// On returns the encoder on session k, where 0 is e itself, or on the last session if there are
// fewer. It is closed with e.
func (e *Encoder) On(k int) *Encoder {
	if k = min(k, len(e.others)); k > 0 {
		return e.others[k-1]
	}
	return e
}

// connect finds the input and output of the graph and checks them against the metadata.
func (e *Encoder) connect(in, out []tensor.Spec) error {
	if len(in) != 1 || len(out) != 1 {
		return fmt.Errorf("the model has %d inputs and %d outputs, want one of each", len(in), len(out))
	}
	e.input, e.output = in[0].Name, out[0].Name
	s := e.Size()
	if in[0].Type != tensor.Uint8 || !slices.Equal(in[0].Shape, []int{-1, s, s, 3}) {
		return fmt.Errorf("input %q is %v%v, but the metadata says uint8[-1 %d %d 3]", e.input, in[0].Type, in[0].Shape, s, s)
	}
	if out[0].Type != tensor.Float32 || !slices.Equal(out[0].Shape, []int{-1, e.Dim()}) {
		return fmt.Errorf("output %q is %v%v, but the metadata says float32[-1 %d]", e.output, out[0].Type, out[0].Shape, e.Dim())
	}
	return nil
}

// Close frees the sessions. It is idempotent, but must not run concurrently with other methods.
func (e *Encoder) Close() error {
	var errs []error
	for _, on := range append([]*Encoder{e}, e.others...) {
		if on.session != nil {
			errs = append(errs, on.session.Close())
		}
	}
	return errors.Join(errs...)
}

// Dim returns D, the length of a vector.
func (e *Encoder) Dim() int { return e.metadata.Dim }

// Size returns S, the side of the graph's square input in pixels.
func (e *Encoder) Size() int { return e.metadata.Preprocess.Crop }

// Device returns the device that the model runs on.
func (e *Encoder) Device() ort.Device { return e.session.Device() }

// Metadata returns the file's metadata. It is shared and must not be modified.
func (e *Encoder) Metadata() *Metadata { return e.metadata }

// Fingerprint identifies the function from image to vector; see the function Fingerprint.
func (e *Encoder) Fingerprint() string { return e.fingerprint }

// Encode turns n images, uint8 [n, S, S, 3] as written by Preprocess, into newly allocated vectors,
// float32 [n, D]. pixels must not change until it returns; those of NewPixels transfer to a device
// fastest. When ctx ends, the run stops between two operators and returns ctx's error, wrapped.
// Except for rounding, a vector does not depend on the rest of the batch.
func (e *Encoder) Encode(ctx context.Context, pixels []uint8, n int) ([]float32, error) {
	s := e.Size()
	if n < 1 || len(pixels) != n*s*s*3 {
		return nil, fmt.Errorf("encode %d pictures: %d bytes are not [%d %d %d 3]", n, len(pixels), n, s, s)
	}
	out, err := e.session.RunContext(ctx, tensor.Batch{e.input: tensor.Of(pixels, n, s, s, 3)}, e.output)
	if err != nil {
		return nil, fmt.Errorf("encode %d pictures: %w", n, err)
	}
	return out[e.output].Float32(), nil
}

// Preprocessor turns image files into the pixels that Encode accepts, and reuses its memory from
// one to the next. It is not safe for concurrent use; Close frees memory outside the Go heap.
type Preprocessor struct {
	// Limits of the next images, initially those of the encoder.
	Limits imaging.Limits

	e       *Encoder
	decoder imaging.Decoder
	picture imaging.RGB
	scratch imaging.Scratch
}

// NewPreprocessor returns a Preprocessor for e.
func (e *Encoder) NewPreprocessor() *Preprocessor { return &Preprocessor{Limits: e.Limits, e: e} }

// Preprocess turns the bytes of an image file into the pixels of one image: 3*S*S bytes in dst. It
// is an error if the file is not an image or is over the limits.
func (p *Preprocessor) Preprocess(file []byte, dst []uint8) error {
	if s := p.e.Size(); len(dst) != 3*s*s {
		return fmt.Errorf("preprocess picture: %d bytes of room, want [%d %d 3]", len(dst), s, s)
	}
	p.decoder.Conversion = p.e.metadata.Preprocess.Conversion
	if err := p.decoder.Decode(&p.picture, file, p.Limits); err != nil {
		return fmt.Errorf("preprocess picture: %w", err)
	}
	imaging.Evaluate(&p.picture, dst, p.e.metadata.Preprocess, &p.scratch)
	return nil
}

// Picture returns the full image that Preprocess decoded last, before cropping and resizing. It is
// overwritten by the next one, and undefined after an error.
func (p *Preprocessor) Picture() *imaging.RGB { return &p.picture }

// Close frees the decoder. It is idempotent.
func (p *Preprocessor) Close() { p.decoder.Close() }

// EncodeImage is Preprocess and Encode for a single image file, for callers with only a few.
func (e *Encoder) EncodeImage(ctx context.Context, file []byte) ([]float32, error) {
	p := e.NewPreprocessor()
	defer p.Close()
	pixels := make([]uint8, 3*e.Size()*e.Size())
	if err := p.Preprocess(file, pixels); err != nil {
		return nil, err
	}
	return e.Encode(ctx, pixels, 1)
}
