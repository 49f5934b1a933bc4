package steps

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"

	"vicreg/scripts/bench/peer"
)

// Side is one way to run a step, in a separate process.
type Side struct {
	Name  string
	Start func() (*peer.Process, error)
}

// Ours is vicreg's step. The calling program must pass the value of its flag -serve to Serve.
func Ours(name string, s Setup) Side {
	return Side{name, func() (*peer.Process, error) {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		setup, err := json.Marshal(s)
		if err != nil {
			return nil, err
		}
		return peer.Start(name, nil, self, "-serve", string(setup))
	}}
}

// Rate is the learning rate of both sides. It is low because repeating the same batch of noise
// would drive a large expander out of the range of float16.
const Rate = 1e-4

// Torch is PyTorch's step in a memory layout, with additional flags of train_step_torch.py.
func Torch(name, python string, s Setup, layout string, flags ...string) Side {
	return Side{name, func() (*peer.Process, error) {
		args := append([]string{"scripts/bench/train_step_torch.py", "--layout", layout, "--lr", fmt.Sprint(Rate)}, s.flags()...)
		return peer.Start(name, nil, python, append(args, flags...)...)
	}}
}

// TorchTogether is PyTorch's step by several processes on this machine, which share the batch and
// the threads of the setup.
func TorchTogether(name, python string, s Setup, processes int, layout string) Side {
	return Side{name, func() (*peer.Process, error) {
		s.Threads = max(s.Threads/processes, 1)
		args := append([]string{"scripts/bench/train_ddp_torch.py", "--layout", layout, "--lr", fmt.Sprint(Rate), "--processes", fmt.Sprint(processes)}, s.flags()...)
		return peer.Start(name, nil, python, args...)
	}}
}

// Python returns the interpreter for the peers: VICREG_TORCH_PYTHON, else python3.
func Python() string { return cmp.Or(os.Getenv("VICREG_TORCH_PYTHON"), "python3") }
