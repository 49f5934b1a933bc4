package main

import (
	"syscall"
	"time"
)

// pause sleeps in the thread itself, which is accurate to about 50 microseconds.
func pause(d time.Duration) {
	for end := time.Now().Add(d); d > 0; d = time.Until(end) {
		t := syscall.NsecToTimespec(int64(d))
		syscall.Nanosleep(&t, nil) // signals interrupt it
	}
}
