package peer

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Resident returns the resident memory of a process in bytes; process is its ID, or self.
func Resident(process string) (float64, error) {
	path := "/proc/" + process + "/status"
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmRSS:" {
			kib, err := strconv.ParseFloat(f[1], 64)
			return 1024 * kib, err
		}
	}
	return 0, fmt.Errorf("no VmRSS in %s", path)
}
