package store

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
)

// childEnv names the work that the test program does instead of running tests, for tests that
// need a process to kill or trace.
const childEnv = "VICREG_STORE_CHILD"

// children are the kinds of work. They operate on the arguments, and print what the test waits
// for.
var children = map[string]func(args []string) error{
	"apply-once":       applyOnce,
	"hold":             hold,
	"hold-reading":     holdReading,
	"keep-on":          keepOn,
	"replace":          replaceOnce,
	"replace-and-tell": replaceAndTell,
	"copy-once":        copyOnce,
	"remove-newest":    removeNewest,
	"restore":          restoreOnce,
	"fill":             fill,
	"fill-log":         fillLog,
	"step-on":          stepOn,
}

func TestMain(m *testing.M) {
	work := os.Getenv(childEnv)
	if work == "" {
		os.Exit(m.Run())
	}
	if err := children[work](os.Args[1:]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func child(t *testing.T, work string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	// By default the race detector makes each process sleep for a second before it exits.
	cmd.Env = append(os.Environ(), childEnv+"="+work, "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	return cmd
}

const (
	markBegin = "apply begins"
	markEnd   = "apply has returned"
)

func applyOnce(args []string) error {
	s, err := Open(context.Background(), args[0], Options{})
	if err != nil {
		return err
	}
	fmt.Println(markBegin)
	if err := s.Apply(context.Background(), puts(rowOf(1, testDim))); err != nil {
		return err
	}
	fmt.Println(markEnd)
	return s.Close()
}

// hold owns an index until its standard input ends.
func hold(args []string) error {
	s, err := Open(context.Background(), args[0], Options{})
	if err != nil {
		return err
	}
	fmt.Println("open")
	os.Stdin.Read(make([]byte, 1))
	return s.Close()
}

// repeats is how often random tests are repeated: n times, or as set by the environment.
func repeats(t *testing.T, n int) int {
	t.Helper()
	if text := os.Getenv("VICREG_STORE_REPEATS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	return n
}
