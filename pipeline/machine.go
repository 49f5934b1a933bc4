package pipeline

import (
	"flag"

	"vicreg/models/ort"
	"vicreg/pipeline/bulk"
	"vicreg/pipeline/usage"
)

// machine describes what training runs on.
type machine struct {
	bulk.Machine
	kernels   string
	precision precision // as requested; "" for the default
	capture   bool
}

func (m *machine) register(fs *flag.FlagSet) {
	m.Machine.Register(fs)
	fs.StringVar(&m.kernels, "kernels", "auto", "convolution `kernels`: auto, portable (ONNX Runtime's standard operators), nchwc (blocked channels, on the CPU) or cudnn (vicreg's own, based on cuDNN and CUDA, on a CUDA device)")
	fs.BoolVar(&m.capture, "cuda-graph", true, "on a CUDA device, record the kernel launches of a step once and replay them; use --cuda-graph=false for profilers that need to see each launch")
}

// captures reports whether steps are recorded as a CUDA graph and replayed.
func (m machine) captures() bool { return m.capture && !m.OnHost() }

// validate reports invalid or incompatible flags.
func (m machine) validate() error {
	switch m.kernels {
	case "auto", "portable":
	case "nchwc":
		if !m.OnHost() {
			return usage.Errorf("--kernels nchwc is for the CPU, not for --device %v", m.Device)
		}
	case "cudnn":
		if m.OnHost() {
			return usage.Errorf("--kernels cudnn needs --device cuda")
		}
	default:
		return usage.Errorf("--kernels %s: want auto, portable, nchwc or cudnn", m.kernels)
	}
	if err := m.precision.validate(&m); err != nil {
		return err
	}
	return m.Machine.Validate()
}

// customOps reports whether graphs for a CUDA device use vicreg's own operators.
func (m machine) customOps() bool { return m.kernels != "portable" }

// block is the channel block size of the convolution kernels to use; 0 for portable.
func (m machine) block(lib *ort.Runtime) (int, error) {
	if m.kernels == "portable" || !m.OnHost() {
		return 0, nil
	}
	block, err := ort.BlockSize(lib)
	if err == nil && block == 0 && m.kernels == "nchwc" {
		return 0, usage.Errorf("--kernels nchwc: this processor or library has no NCHWc kernels")
	}
	return block, err
}
