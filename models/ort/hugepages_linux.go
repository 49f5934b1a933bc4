package ort

import (
	"os"
	"strings"
	"syscall"
)

// UseHugePages starts the program anew, in the same process, with glibc told to
// back large blocks of memory by huge pages; it returns when that is so already,
// when the user has set the tunable himself, or when it cannot be done. The
// runtime gets its memory from malloc and a training step walks through all of
// it: without huge pages a step takes a quarter longer (scripts/bench.sh
// train-step). To be called first thing in main, since what ran before runs again.
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
	_ = syscall.Exec(self, os.Args, os.Environ()) // comes back only when it failed
}
