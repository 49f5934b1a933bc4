package dataset

import (
	"os"
	"syscall"
	"testing"
)

// exhaust runs do in a process that cannot open a file more.
func exhaust(t *testing.T, do func()) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(".") // its number is the lowest that is free
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
