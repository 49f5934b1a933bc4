// Package encoder turns pictures into vectors with an exported backbone: the same
// pixels as in training and evaluation, the graph as it was written. It is all
// that serving needs of the rest of the program.
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

// Encoder is a backbone ready to run. All methods but Close may be called at
// once; each Preprocessor is for one goroutine.
type Encoder struct {
	// Limits of the pictures that are accepted; to be set before the first use.
	Limits imaging.Limits

	session       *ort.Session
	others        []*Encoder // the same model on sessions of their own
	input, output string
	metadata      *Metadata
	fingerprint   string
}

// Open loads the model file at path, which vicreg export wrote. The caller closes
// the encoder. A file that is no ONNX model, is not what its checksum is of, has no
// metadata of vicreg's (ErrForeign) or that of a newer version, or a graph that does
// not fit its metadata is an error that says so. Each of more is one more session, with the
// weights in memory again; see On. On a device, weights of float16 imply TF32.
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

// New is Open for the bytes of a file, which may be reused after the return.
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

// read takes a file apart that is as it was exported, as far as it has a checksum.
func read(file []byte) (*onnx.ModelProto, error) {
	if err := intact(file); err != nil {
		return nil, err
	}
	model, err := onnx.Unmarshal(file)
	if err != nil {
		return nil, fmt.Errorf("not an onnx model, or not all of one: %w", err)
	}
	if bytes.HasPrefix(file, []byte(checksumHead)) {
		return model, nil
	}
	return model, unchanged(model)
}

// load makes an encoder of a model and what is known about it, wherever that
// comes from.
func load(rt *ort.Runtime, model *onnx.ModelProto, file []byte, metadata *Metadata, opt ort.Options, more ...ort.Options) (*Encoder, error) {
	fingerprint, err := Fingerprint(model, metadata.Preprocess)
	if err != nil {
		return nil, err
	}
	if metadata.Training.Quantization != nil && opt.Device.Kind != tensor.Host {
		return nil, errors.New("the model computes in 8-bit integers, which is for CPUs; for a CUDA device export it without --int8")
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

// On is the encoder on its session k, 0 for itself, or on the last if there are fewer.
// It is closed with e.
func (e *Encoder) On(k int) *Encoder {
	if k = min(k, len(e.others)); k > 0 {
		return e.others[k-1]
	}
	return e
}

// connect finds input and output of the graph and holds them against the
// metadata.
func (e *Encoder) connect(in, out []tensor.Spec) error {
	if len(in) != 1 || len(out) != 1 {
		return fmt.Errorf("the model has %d inputs and %d outputs, want one of each", len(in), len(out))
	}
	e.input, e.output = in[0].Name, out[0].Name
	s := e.Size()
	if in[0].Type != tensor.Uint8 || !slices.Equal(in[0].Shape, []int{-1, s, s, 3}) {
		return fmt.Errorf("input %q is %v%v, the metadata says uint8[-1 %d %d 3]", e.input, in[0].Type, in[0].Shape, s, s)
	}
	if out[0].Type != tensor.Float32 || !slices.Equal(out[0].Shape, []int{-1, e.Dim()}) {
		return fmt.Errorf("output %q is %v%v, the metadata says float32[-1 %d]", e.output, out[0].Type, out[0].Shape, e.Dim())
	}
	return nil
}

// Close frees the sessions; it may be called again, but while no other method
// runs.
func (e *Encoder) Close() error {
	var errs []error
	for _, on := range append([]*Encoder{e}, e.others...) {
		if on.session != nil {
			errs = append(errs, on.session.Close())
		}
	}
	return errors.Join(errs...)
}

// Dim is D, the length of a vector.
func (e *Encoder) Dim() int { return e.metadata.Dim }

// Size is S, the side of the square the graph sees, in pixels.
func (e *Encoder) Size() int { return e.metadata.Preprocess.Crop }

// Device is what the model runs on.
func (e *Encoder) Device() ort.Device { return e.session.Device() }

// Metadata is what the file says about the model. It is shared: not to be changed.
func (e *Encoder) Metadata() *Metadata { return e.metadata }

// Fingerprint names the function from picture to vector; see the function of that
// name.
func (e *Encoder) Fingerprint() string { return e.fingerprint }

// Encode turns n pictures, uint8 [n, S, S, 3] as Preprocess writes them, into
// their vectors, float32 [n, D], which are new. pixels must not change before the
// return; those of NewPixels get to a device fastest. When ctx ends, the run stops between two operators and the error is
// ctx's, wrapped. A vector does not depend on what else is in the batch, but for
// rounding.
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

// Preprocessor turns image files into the pixels that Encode takes, and keeps its
// memory from one to the next. It is for one goroutine at a time; Close frees what
// the garbage collector does not see.
type Preprocessor struct {
	// Limits of the next pictures, those of the encoder at first.
	Limits imaging.Limits

	e       *Encoder
	decoder imaging.Decoder
	picture imaging.RGB
	scratch imaging.Scratch
}

// NewPreprocessor returns a Preprocessor for the pictures of e.
func (e *Encoder) NewPreprocessor() *Preprocessor { return &Preprocessor{Limits: e.Limits, e: e} }

// Preprocess turns the bytes of an image file into the pixels of one picture:
// 3*S*S bytes in dst. A file that is no picture or over the limits is an error.
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

// Picture is the whole picture that Preprocess has decoded last, as it is before it is
// cut and resized. It changes with the next one, and means nothing after an error.
func (p *Preprocessor) Picture() *imaging.RGB { return &p.picture }

// Close frees the decoder. It may be called again.
func (p *Preprocessor) Close() { p.decoder.Close() }

// EncodeImage is Preprocess and Encode of one image file, for callers that have
// few of them.
func (e *Encoder) EncodeImage(ctx context.Context, file []byte) ([]float32, error) {
	p := e.NewPreprocessor()
	defer p.Close()
	pixels := make([]uint8, 3*e.Size()*e.Size())
	if err := p.Preprocess(file, pixels); err != nil {
		return nil, err
	}
	return e.Encode(ctx, pixels, 1)
}
