package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// catch returns the context of a command, which ends with the first SIGINT, SIGTERM or
// SIGHUP, and that of training with SIGUSR1, which schedulers send before the time is up
// and mpirun passes on. A second SIGINT or SIGTERM ends the process at once. A second SIGHUP
// does not: a terminal that goes away sends it from the shell and from the kernel.
func catch(name string) context.Context {
	if outlivesReaders(name) {
		// Not Ignore, which what we start would inherit. The signals stay in the channel.
		signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	}
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if name == "train" {
		ends = append(ends, syscall.SIGUSR1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	switch {
	case name == "serve": // loads its model again; one that comes before it listens changes nothing
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	case !signal.Ignored(syscall.SIGHUP): // by nohup
		ctx = untilHangup(ctx)
	}
	context.AfterFunc(ctx, stop)
	return ctx
}

// outlivesReaders tells whether a command is there for more than what it prints: it goes
// on when nobody reads that any more. Others end then, as head expects it of them.
func outlivesReaders(name string) bool {
	switch name {
	case "train", "embed", "index", "serve":
		return true
	}
	return false
}

// untilHangup is a context that also ends with SIGHUP.
func untilHangup(ctx context.Context) context.Context {
	ctx, end := context.WithCancel(ctx)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		<-hangups
		end()
	}()
	return ctx
}
