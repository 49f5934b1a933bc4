package ort

import "runtime"

// thread is one thread of the operating system, on which functions run one after
// the other. The CUDA provider keeps its handles, its workspace and what it has
// captured for each thread that comes, and Go moves a goroutine from one to
// another as it likes. A nil thread is whichever the caller is on.
type thread struct{ work chan func() }

func newThread() *thread {
	t := &thread{make(chan func())}
	go func() {
		runtime.LockOSThread() // and ends with it
		for f := range t.work {
			f()
		}
	}()
	return t
}

// do runs f and returns when it has ended. It may be called at once.
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

// stop ends the thread; nothing may be done on it any more.
func (t *thread) stop() {
	if t != nil {
		close(t.work)
	}
}
