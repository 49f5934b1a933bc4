package dataset

import (
	"os"
	"syscall"
	"testing"
)

// exhaust calls do while the process cannot open any more files.
func exhaust(t *testing.T, do func()) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(".") // gets the lowest free descriptor
	if err != nil {
		t.Fatal(err)
	}
	low := before
	low.Cur = uint64(f.Fd())
	f.Close()
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Skip("cannot limit the open files:", err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before)
	do()
}
