package ort

import "runtime"

// thread is an OS thread on which functions run one after the other. The CUDA provider keeps its
// handles, its workspace and its captured graphs per thread, and Go moves goroutines between
// threads at will. A nil thread stands for the caller's.
type thread struct{ work chan func() }

func newThread() *thread {
	t := &thread{make(chan func())}
	go func() {
		runtime.LockOSThread() // not unlocked, so that the thread ends with the goroutine
		for f := range t.work {
			f()
		}
	}()
	return t
}

// do runs f and returns once it has returned. It may be called concurrently.
func (t *thread) do(f func()) {
	if t == nil {
		f()
		return
	}
	done := make(chan struct{})
	t.work <- func() {
		defer close(done)
		f()
	}
	<-done
}

// stop ends the thread; do must not be called after it.
func (t *thread) stop() {
	if t != nil {
		close(t.work)
	}
}
