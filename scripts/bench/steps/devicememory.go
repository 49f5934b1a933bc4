package steps

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"

	"vicreg/models/ort"
)

// DeviceMemory returns the memory of a CUDA device in use by all processes, in bytes, as reported
// by nvidia-smi.
func DeviceMemory(d ort.Device) (float64, error) {
	out, err := exec.Command("nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "-i", strconv.Itoa(d.Index)).Output()
	if err != nil {
		return 0, fmt.Errorf("ask nvidia-smi for the memory in use: %w", err)
	}
	mib, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	if err != nil {
		return 0, fmt.Errorf("the memory in use by nvidia-smi: %w", err)
	}
	return mib * (1 << 20), nil
}
