package encoder

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"vicreg/models/onnx"
	"vicreg/pipeline/imaging"
)

// FormatVersion is the newest version of the metadata that this program writes and reads. It writes
// the oldest version that can express a model: a program that only knows version 1 would ignore a
// Conversion, one that knows 2 a Fit, and get other pixels.
const FormatVersion = 3

// Keys of a model's metadata_props. Each value but the first and last is JSON. There is no date, so
// that equal runs produce equal files.
const (
	keyVersion       = "vicreg.format_version" // a decimal number
	keyPreprocessing = "vicreg.preprocessing"  // {"resize", "crop", "interpolation"}, since version 2 the fields of imaging.Conversion, since 3 "fit" and "fill"; see imaging.Preprocess
	keyNormalization = "vicreg.normalization"  // {"mean", "std"} of pixels in 0..1; the graph applies it
	keyDim           = "vicreg.dim"            // a number
	keyCenter        = "vicreg.center"         // a list of dim numbers
	keyTraining      = "vicreg.training"       // an object; see Training
	keyChecksum      = "vicreg.sha256"         // of the rest of the file; see Marshal
)

// Metadata is what a graph alone does not record: everything needed to turn the bytes of an image
// into a meaningful vector.
type Metadata struct {
	Preprocess    imaging.Preprocess
	Normalization Normalization
	Dim           int       // D, the length of a vector
	Center        []float32 // [D], the mean vector over training images; zero if unknown
	Training      Training
}

// Normalization is (pixel/255 - mean) / std per channel, in the order red, green, blue. The graph
// applies it; the numbers are here for people and tools.
type Normalization struct {
	Mean [3]float64 `json:"mean"`
	Std  [3]float64 `json:"std"`
}

// Training records the origin of the weights.
type Training struct {
	Model     string `json:"model"` // "resnet18"
	Stem      string `json:"stem"`
	Width     int    `json:"width"` // channels of the first stage
	ImageSize int    `json:"image_size"`
	Images    int    `json:"images"` // number of training images when the run began
	Data      string `json:"data"`   // fingerprint of their names
	Epochs    int    `json:"epochs"` // completed
	Steps     int64  `json:"steps"`  // 0 for an untrained backbone
	Seed      uint64 `json:"seed"`
	Recipe    string `json:"recipe"`    // of augmentation
	Optimizer string `json:"optimizer"` // "lars"
	Version   string `json:"vicreg"`    // of the program that exported the model

	// Settings are all settings of the run as in its checkpoints, except paths.
	Settings json.RawMessage `json:"settings,omitempty"`

	Quantization *Quantization `json:"quantization,omitempty"` // of a graph that computes in integers
}

// Quantization describes how float32 was quantised. The parameters are in the graph.
type Quantization struct {
	Weights     string  `json:"weights"`     // "int8", using 7 bits
	Activations string  `json:"activations"` // "uint8"
	Images      int     `json:"images"`      // number of calibration images
	Cosine      float64 `json:"cosine"`      // between vectors and those of float32, both mean-centred, over other images
}

// Mean returns Center, or nil if it is unknown, as for a model from elsewhere.
func (m *Metadata) Mean() []float32 {
	if slices.ContainsFunc(m.Center, func(v float32) bool { return v != 0 }) {
		return m.Center
	}
	return nil
}

// Attach writes the metadata into a model, replacing what is there.
func (m *Metadata) Attach(model *onnx.ModelProto) error {
	if err := m.validate(); err != nil {
		return fmt.Errorf("attach metadata: %w", err)
	}
	onnx.SetMetadata(model, keyVersion, strconv.Itoa(m.version()))
	for _, f := range m.fields() {
		text, err := json.Marshal(f.value)
		if err != nil {
			return fmt.Errorf("attach metadata %s: %w", f.key, err)
		}
		onnx.SetMetadata(model, f.key, string(text))
	}
	return nil
}

// version returns the oldest version that can express m.
func (m *Metadata) version() int {
	if m.Preprocess.Fit != imaging.FitCrop {
		return 3
	}
	if m.Preprocess.Conversion != (imaging.Conversion{}) {
		return 2
	}
	return 1
}

// ErrForeign is the error of a model without vicreg metadata.
var ErrForeign = errors.New("not a vicreg model")

// ReadMetadata is the inverse of Attach for the key-value pairs of a model. It ignores other keys,
// and unknown members of the objects.
func ReadMetadata(kv map[string]string) (*Metadata, error) {
	text, ok := kv[keyVersion]
	if !ok {
		return nil, fmt.Errorf("no %s in its metadata: %w", keyVersion, ErrForeign)
	}
	version, err := strconv.Atoi(text)
	if err != nil || version < 1 {
		return nil, fmt.Errorf("metadata %s: %q is not a version", keyVersion, text)
	}
	if version > FormatVersion {
		return nil, fmt.Errorf("metadata %s is %d, this program reads up to %d; use a newer vicreg", keyVersion, version, FormatVersion)
	}
	m := new(Metadata)
	for _, f := range m.fields() {
		text, ok := kv[f.key]
		if !ok {
			return nil, fmt.Errorf("no %s in its metadata", f.key)
		}
		if err := json.Unmarshal([]byte(text), f.value); err != nil {
			return nil, fmt.Errorf("metadata %s: %w", f.key, err)
		}
	}
	return m, m.validate()
}

type field struct {
	key   string
	value any // a pointer to the part of the metadata
}

func (m *Metadata) fields() []field {
	return []field{
		{keyPreprocessing, &m.Preprocess}, {keyNormalization, &m.Normalization}, {keyDim, &m.Dim},
		{keyCenter, &m.Center}, {keyTraining, &m.Training},
	}
}

func (m *Metadata) validate() error {
	if err := m.Preprocess.Validate(); err != nil {
		return fmt.Errorf("metadata %s: %w", keyPreprocessing, err)
	}
	if m.Dim < 1 || len(m.Center) != m.Dim {
		return fmt.Errorf("metadata %s has %d numbers for %s %d", keyCenter, len(m.Center), keyDim, m.Dim)
	}
	for _, v := range m.Center {
		if v-v != 0 {
			return errors.New("metadata " + keyCenter + " is not finite")
		}
	}
	return nil
}
