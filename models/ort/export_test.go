package ort

import "vicreg/models/tensor"

// Copies is the number of inputs that a stepper keeps copies of.
func Copies(st *Stepper) (n int) {
	for _, b := range st.copied {
		if b != nil {
			n++
		}
	}
	return n
}

// NewDeviceStepper is NewStepper with the state kept as on a device, by the runtime's allocators
// and copies, for a session on the host.
func NewDeviceStepper(s *Session, cfg StepperConfig) (*Stepper, error) {
	return newStepper(s, cfg, func(vars []tensor.Spec, e ends) (holder, error) {
		return newDeviceState(s, Device{}, vars, cfg, e)
	})
}

// Pinned returns how many bytes of pinned memory a session's buffers and the runtime itself use.
func Pinned(s *Session) (int64, error) {
	s.buffers.mu.Lock()
	defer s.buffers.mu.Unlock()
	return stat(s.buffers.memory.pinned, "InUse")
}
