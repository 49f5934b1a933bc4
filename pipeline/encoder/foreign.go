package encoder

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"vicreg/models/onnx"
	"vicreg/models/ort"
	"vicreg/models/tensor"
	"vicreg/pipeline/imaging"
)

// Foreign describes how images are fed to a model that vicreg did not write and which of its
// outputs is the vector: what no ONNX file records itself.
type Foreign struct {
	Name string // of the model, for display
	imaging.Preprocess
	// Normalization applies to pixels in 0..1, in the order red, green, blue. Mean 0 and std 1/255
	// keep them in 0..255, mean 1/2 and std 1/2 map them to -1..1.
	Normalization
	Layout        string // of the input: "nchw" for [N, 3, H, W], "nhwc" for [N, H, W, 3]
	Input, Output string // names; "" for the only one
}

// minOpset is the oldest operator set in which all operators that Adapt adds have today's
// semantics, for any rank and any type.
const minOpset = 11

// OpenForeign is Open for a model file that vicreg did not write: see Adapt. Its weights may be in
// external files beside it.
func OpenForeign(rt *ort.Runtime, path string, f Foreign, opt ort.Options, more ...ort.Options) (*Encoder, error) {
	e, err := openForeign(rt, path, f, opt, more...)
	if err != nil {
		return nil, fmt.Errorf("open encoder %s: %w", path, err)
	}
	return e, nil
}

func openForeign(rt *ort.Runtime, path string, f Foreign, opt ort.Options, more ...ort.Options) (*Encoder, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	model, err := onnx.Unmarshal(file)
	if err != nil {
		return nil, fmt.Errorf("not an ONNX model, or a truncated one: %w", err)
	}
	if err := gather(model, filepath.Dir(path)); err != nil {
		return nil, err
	}
	if err := Adapt(rt, opt.Device, model, f); err != nil {
		return nil, err
	}
	metadata, err := ReadMetadata(onnx.Metadata(model))
	if err != nil {
		return nil, err
	}
	if file, err = onnx.Marshal(model); err != nil {
		return nil, err
	}
	return load(rt, model, file, metadata, opt, more...)
}

// Adapt rewrites a model from normalised pixels, float32 or float16 in either layout, to a vector,
// [N, D] or with further dimensions of 1, into the form that vicreg exports: from pixels uint8 [N,
// S, S, 3] to float32 [N, D], with metadata whose center is zero. Everything that the vector does
// not depend on is removed, so the model may have other inputs and outputs.
//
// D and the dynamic batch axis are determined by running the model on the given device, since files
// omit them or state them wrongly. After an error the model is unusable.
func Adapt(rt *ort.Runtime, on ort.Device, model *onnx.ModelProto, f Foreign) error {
	if err := errors.Join(f.Validate(), adaptable(model)); err != nil {
		return err
	}
	g := model.Graph
	out, err := choose("output", f.Output, g.Output)
	if err != nil {
		return err
	}
	others := listing(g.Output)
	prune(g, out.Name)
	in, err := f.input(g, out.Name)
	if err != nil {
		return err
	}
	model.IrVersion = max(model.IrVersion, 4) // before version 4 every constant was also an input
	w := newWrapping(g, in, out)
	w.front(f)
	w.back()
	made, err := w.measure(rt, on, model, f.Crop)
	if err != nil {
		return err
	}
	dim, ok := vectorLen(made)
	if !ok {
		return fmt.Errorf("output %q is %v%v for a picture, want a vector: export the model with its pooling, or choose an output with --output (available: %s)",
			out.Name, made.Type, made.Shape, others)
	}
	w.finish(made, dim)
	m := &Metadata{Preprocess: f.Preprocess, Normalization: f.Normalization, Dim: dim, Center: make([]float32, dim),
		Training: Training{Model: f.Name, ImageSize: f.Crop}}
	return m.Attach(model)
}

// Validate reports the first implausible setting.
func (f Foreign) Validate() error {
	if err := f.Preprocess.Validate(); err != nil {
		return err
	}
	if f.Layout != "nchw" && f.Layout != "nhwc" {
		return fmt.Errorf("layout %q: want nchw or nhwc", f.Layout)
	}
	return Normalises(f.Mean, f.Std)
}

// Normalises returns an error if mean and std cannot be those of pixels in 0..1, which is what a
// graph sees. With those of pixels in 0..255 all images would look alike to it.
func Normalises[F float32 | float64](mean, std [3]F) error {
	for i := range 3 {
		if m := mean[i]; !(m >= 0 && m <= 1) { // nor NaN
			return fmt.Errorf("mean %g: want the mean of pixels scaled to 0–1; divide a mean of pixels in 0–255 by 255", m)
		}
		if s := std[i]; !(s >= 1e-4 && s <= 1) {
			return fmt.Errorf("std %g: want 0.0001 to 1, the std of pixels scaled to 0–1; divide a std of pixels in 0–255 by 255", s)
		}
	}
	return nil
}

// adaptable reports properties of the model as a whole that prevent adapting it.
func adaptable(model *onnx.ModelProto) error {
	if _, ours := onnx.Metadata(model)[keyVersion]; ours {
		return errors.New("it is a vicreg model, which stores its own preprocessing: omit --foreign")
	}
	version := max(onnx.Opset(model, ""), onnx.Opset(model, "ai.onnx"))
	if version < minOpset {
		return fmt.Errorf("its opset version is %d: export it with opset %d or later", version, minOpset)
	}
	if slices.ContainsFunc(constants(model.Graph), outside) {
		return errors.New("its weights are in another file: give the model as a path, with that file next to it")
	}
	if hasFunctions(model) {
		return errors.New("it defines model-local functions, which are not supported: inline them (in Python, onnx.inliner.inline_local_functions)")
	}
	return nil
}

// input returns the one input that receives the images, if it has a suitable type and shape.
func (f Foreign) input(g *onnx.GraphProto, output string) (*onnx.ValueInfoProto, error) {
	if len(g.Input) > 1 {
		return nil, fmt.Errorf("output %q depends on %d inputs, %s: want one that depends only on images", output, len(g.Input), listing(g.Input))
	}
	in, err := choose("input", f.Input, g.Input)
	if err != nil {
		return nil, err
	}
	spec, err := onnx.SpecOf(in)
	if err != nil {
		return nil, fmt.Errorf("input %w", err)
	}
	is := fmt.Sprintf("input %q is %v%v", in.Name, spec.Type, spec.Shape)
	if spec.Type != tensor.Float32 && spec.Type != tensor.Float16 {
		return nil, fmt.Errorf("%s, want float32 or float16", is)
	}
	if len(spec.Shape) != 4 {
		return nil, fmt.Errorf("%s, want four dimensions: [N, 3, H, W], or [N, H, W, 3] with --layout nhwc", is)
	}
	if n := spec.Shape[0]; n >= 0 {
		return nil, fmt.Errorf("%s, a fixed batch of %d: export the model with a dynamic batch axis", is, n)
	}
	c, h, w := spec.Shape[1], spec.Shape[2], spec.Shape[3]
	if f.Layout == "nhwc" {
		h, w, c = c, h, w
	}
	if c >= 0 && c != 3 {
		return nil, fmt.Errorf("%s, which is %d channels with --layout %s: want 3", is, c, f.Layout)
	}
	if h >= 0 && h != f.Crop || w >= 0 && w != f.Crop {
		return nil, fmt.Errorf("%s, images of %d x %d pixels, but --crop is %d", is, h, w, f.Crop)
	}
	return in, nil
}
