package graph

// Forms choose, in a graph for CUDA, between ways to compute the same of which only a
// measurement can tell the fastest. The zero value is what counting memory passes
// prefers.
type Forms struct {
	Cudnn    bool // convolve, normalise and pool by the operators of cudnn.go
	Conv     ConvForm
	Unfolded bool // normalise after every convolution, none in its weights
	Affine   bool // normalise by products and sums, without the runtime's BatchNormalization
	Columns  bool // gradients of weights from columns of all taps, also where the taps can be divided
	Beyond   bool // trust that the runtime's kernel gathers zeros beyond the end, as it does
	Whole    bool // sum gradients of weights in one product, not in chunks
	WideOnes bool // sum with eight columns of ones, as tensor cores want them
}

// ConvForm says how a convolution of more than one pixel takes its weights.
type ConvForm string

const (
	ConvLast   ConvForm = ""       // channels last, like its input: see ConvNHWC
	ConvMixed  ConvForm = "mixed"  // channels first, with channels-last values
	ConvPlanar ConvForm = "planar" // channels first, between two Transposes of values
)

// CudnnForms are those of a graph by the operators over cuDNN. It folds nothing: with
// ReLU and residual in its normalisation that saves no pass over memory, and the
// gradient of folded weights is the difference of large numbers in half precision.
var CudnnForms = Forms{Cudnn: true, Unfolded: true}

// Form is a choice under a name.
type Form struct {
	Name  string
	Forms Forms
}

// AllForms lists the choices worth measuring: those over cuDNN, the zero value, and each
// alternative to that by itself.
func AllForms() []Form {
	return []Form{
		{"cudnn", CudnnForms},
		{"cudnn-folded", Forms{Cudnn: true}},
		{"default", Forms{}},
		{"conv-mixed", Forms{Conv: ConvMixed}},
		{"conv-planar", Forms{Conv: ConvPlanar}},
		{"unfolded", Forms{Unfolded: true}},
		{"affine", Forms{Affine: true}},
		{"columns", Forms{Columns: true}},
		{"gather-beyond", Forms{Beyond: true}},
		{"whole-products", Forms{Whole: true}},
		{"wide-ones", Forms{WideOnes: true}},
	}
}
