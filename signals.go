package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// catch returns the context of a command. The first SIGINT, SIGTERM or SIGHUP cancels it; for
// train, so does SIGUSR1, which schedulers send shortly before the time limit and mpirun forwards.
// A second SIGINT or SIGTERM kills the process. A second SIGHUP does not: when a terminal goes
// away, both the shell and the kernel send one.
func catch(name string) context.Context {
	if outlivesReaders(name) {
		// signal.Ignore would be inherited by child processes. Nobody reads this channel.
		signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	}
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if name == "train" {
		ends = append(ends, syscall.SIGUSR1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	switch {
	case name == "serve": // SIGHUP makes serve reload its model; this ignores one that arrives before it listens
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	case !signal.Ignored(syscall.SIGHUP): // ignored under nohup
		ctx = untilHangup(ctx)
	}
	context.AfterFunc(ctx, func() {
		stop()
		if name == "train" {
			fmt.Fprintln(os.Stderr, "\nvicreg train: stopping: the step in progress is finished, and a checkpoint written; Ctrl-C or SIGTERM again stops at once")
		}
	})
	return ctx
}

// outlivesReaders reports whether a command does more than print, and so carries on once nobody
// reads its output. The others die of SIGPIPE, as `vicreg ... | head` expects.
func outlivesReaders(name string) bool {
	switch name {
	case "train", "embed", "index", "serve":
		return true
	}
	return false
}

// untilHangup returns a context that SIGHUP cancels too.
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
