package main

import (
	"syscall"
	"time"
)

// pause sleeps on the thread itself, which is exact to some 50 microseconds.
func pause(d time.Duration) {
	for end := time.Now().Add(d); d > 0; d = time.Until(end) {
		t := syscall.NsecToTimespec(int64(d))
		syscall.Nanosleep(&t, nil) // signals cut it short
	}
}
