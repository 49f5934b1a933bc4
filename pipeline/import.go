package pipeline

import (
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"vicreg/models"
	"vicreg/models/tensor"
)

// imported summarises the import of a file of weights.
type imported struct {
	Loaded  int      // tensors of the backbone that were set
	Ignored []string // names in the file that a backbone does not use, sorted
}

// backbonePrefix begins the name of every tensor of the backbone in a run.
const backbonePrefix = "backbone."

// importWeights sets the backbone in state, which holds a's tensors, to the weights of a
// safetensors file. Names are torchvision's, optionally prefixed with "module." or "backbone.", so
// a checkpoint of another run works too. Classifier, expander, optimiser state and batch counters
// are ignored. The file must hold the complete backbone with matching shapes; on error, state is
// unchanged.
func importWeights(path string, a *models.Artifact, state map[string]*tensor.Tensor) (imported, error) {
	found, ignored, err := readWeights(path)
	if err != nil {
		return imported{}, fmt.Errorf("take weights from %s: %w", path, err)
	}
	values := map[string]*tensor.Tensor{}
	for _, p := range a.Params {
		name, ours := strings.CutPrefix(p.Name, backbonePrefix)
		if !ours {
			continue
		}
		if values[p.Name], err = weight(found, name, p.Shape); err != nil {
			return imported{}, fmt.Errorf("take weights from %s: %w", path, err)
		}
		delete(found, name)
	}
	if len(found) > 0 {
		return imported{}, fmt.Errorf("take weights from %s: it contains %s, which this model does not have: it is of another --model",
			path, slices.Sorted(maps.Keys(found))[0])
	}
	for name, t := range values {
		if err := state[name].CopyFrom(t); err != nil {
			return imported{}, fmt.Errorf("take weights from %s: %s: %w", path, name, err)
		}
	}
	return imported{len(values), ignored}, nil
}

// readWeights returns a file's backbone tensors by their torchvision names, and the names of all
// others.
func readWeights(path string) (found map[string]*tensor.Tensor, ignored []string, err error) {
	tensors, _, err := tensor.ReadSafetensorsFile(path)
	if err != nil {
		switch strings.ToLower(filepath.Ext(path)) {
		case ".pth", ".pt", ".bin", ".ckpt":
			err = fmt.Errorf("%w; convert PyTorch's own files to safetensors first, see the README", err)
		}
		return nil, nil, err
	}
	found = map[string]*tensor.Tensor{}
	for _, name := range slices.Sorted(maps.Keys(tensors)) {
		plain := plainName(name)
		switch {
		case !ofBackbone(plain):
			ignored = append(ignored, name)
		case found[plain] != nil:
			return nil, nil, fmt.Errorf("it contains %s twice, once as %s", plain, name)
		default:
			found[plain] = tensors[name]
		}
	}
	return found, ignored, nil
}

// plainName strips the prefixes that wrappers add to a name.
func plainName(name string) string {
	for {
		rest := strings.TrimPrefix(strings.TrimPrefix(name, "module."), backbonePrefix)
		if rest == name {
			return name
		}
		name = rest
	}
}

// ofBackbone reports whether a name is that of a weight or statistic of a ResNet, as opposed to a
// classifier, expander, batch counter or optimiser tensor.
func ofBackbone(name string) bool {
	part, _, _ := strings.Cut(name, ".")
	switch strings.TrimRight(part, "0123456789") {
	case "conv", "bn", "layer":
	default:
		return false
	}
	for _, last := range []string{".weight", ".bias", ".running_mean", ".running_var"} {
		if strings.HasSuffix(name, last) {
			return true
		}
	}
	return false
}

// weight returns one tensor of the file as finite float32 values, checked against shape.
func weight(found map[string]*tensor.Tensor, name string, shape []int) (*tensor.Tensor, error) {
	t := found[name]
	if t == nil {
		return nil, fmt.Errorf("it contains no tensor %s%v; names must be torchvision's", name, shape)
	}
	if !slices.Equal(t.Shape, shape) {
		return nil, fmt.Errorf("%s has shape %v, this model wants %v: it is of another --model, --stem or --width", name, t.Shape, shape)
	}
	values, err := asFloat32(t)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	variance := strings.HasSuffix(name, ".running_var")
	for i, v := range values {
		if v-v != 0 || variance && v < 0 {
			return nil, fmt.Errorf("%s: impossible value %v at index %d", name, v, i)
		}
	}
	return tensor.Of(values, shape...), nil
}

// asFloat32 converts the elements of a tensor of any floating-point type.
func asFloat32(t *tensor.Tensor) ([]float32, error) {
	out := make([]float32, t.Len())
	switch t.Type {
	case tensor.Float32:
		copy(out, t.Float32())
	case tensor.Float64:
		for i, v := range t.Data.([]float64) {
			out[i] = float32(v)
		}
	case tensor.BFloat16:
		for i, v := range t.Data.([]uint16) {
			out[i] = math.Float32frombits(uint32(v) << 16)
		}
	case tensor.Float16:
		for i, v := range t.Data.([]uint16) {
			out[i] = halfToFloat32(v)
		}
	default:
		return nil, fmt.Errorf("element type %v is not supported for weights", t.Type)
	}
	return out, nil
}

// halfToFloat32 converts the bits of an IEEE 754 binary16, exactly.
func halfToFloat32(h uint16) float32 {
	exponent, fraction := int(h>>10&31), float64(h&1023)
	var v float64
	switch exponent {
	case 0:
		v = math.Ldexp(fraction, -24)
	case 31:
		v = math.Inf(1)
		if fraction != 0 {
			v = math.NaN()
		}
	default:
		v = math.Ldexp(1024+fraction, exponent-25)
	}
	if h>>15 != 0 {
		v = -v
	}
	return float32(v)
}
