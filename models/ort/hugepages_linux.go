package ort

import (
	"os"
	"strings"
	"syscall"
)

// UseHugePages re-executes the program, in the same process, with glibc set to back large blocks
// of memory by huge pages. It returns if that is so already, if the user has set the tunable, or
// if it cannot be done. The runtime allocates with malloc and a training step walks through all
// of its memory: without huge pages a step takes a quarter longer (scripts/bench.sh train-step).
// Call it first in main, since whatever ran before runs again.
func UseHugePages() {
	const variable, tunable = "GLIBC_TUNABLES", "glibc.malloc.hugetlb"
	set := os.Getenv(variable)
	if strings.Contains(set, tunable) {
		return
	}
	if set != "" {
		set += ":"
	}
	self, err := os.Executable()
	if err != nil || os.Setenv(variable, set+tunable+"=1") != nil {
		return
	}
	_ = syscall.Exec(self, os.Args, os.Environ()) // returns only on failure
}
