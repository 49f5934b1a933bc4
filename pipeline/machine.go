package pipeline

import (
	"vicreg/models/ort"
	"vicreg/pipeline/bulk"
	"vicreg/pipeline/usage"
)

// machine says what training runs on.
type machine struct {
	bulk.Machine
	kernels   string
	precision precision // as asked for; "" for a default
}

// validate reports flags that cannot work, or not together.
func (m machine) validate() error {
	switch m.kernels {
	case "auto", "portable":
	case "nchwc":
		if !m.OnHost() {
			return usage.Errorf("--kernels nchwc is for the CPU, not for --device %v", m.Device)
		}
	default:
		return usage.Errorf("--kernels %s: want auto, portable or nchwc", m.kernels)
	}
	if err := m.precision.validate(m.Device); err != nil {
		return err
	}
	return m.Machine.Validate()
}

// block is the channel block of the convolution kernels to use; 0 for portable.
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
