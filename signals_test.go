package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"vicreg/models/ort"
	"vicreg/pipeline/checkpoint"
)

// program runs this test binary as vicreg with the given arguments, wrapped in the command behind
// if it is not empty.
func program(t *testing.T, behind []string, args ...string) *exec.Cmd {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vicreg")
	if err := os.Symlink(os.Args[0], path); err != nil {
		t.Fatal(err)
	}
	all := slices.Concat(behind, []string{path}, args)
	cmd := exec.Command(all[0], all[1:]...)
	t.Cleanup(func() {
		if cmd.Process != nil {
			cmd.Process.Kill()
		}
	})
	return cmd
}

// unread returns a pipe whose read end is closed.
func unread(t *testing.T) *os.File {
	t.Helper()
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	in.Close()
	t.Cleanup(func() { out.Close() })
	return out
}

// smallTraining returns the arguments of a run with three steps per epoch, and its folder.
func smallTraining(t *testing.T, epochs string) (args []string, run string) {
	t.Helper()
	library, err := ort.Find("")
	if err != nil {
		t.Fatal(err)
	}
	data, run := t.TempDir(), filepath.Join(t.TempDir(), "run")
	if err := writePictures(data, 24); err != nil {
		t.Fatal(err)
	}
	return []string{"train", "--data", data, "--out", run, "--onnxruntime", library, "--holdout", "0",
		"--image-size", "16", "--width", "16", "--batch", "8", "--expander", "32-32-32", "--epochs", epochs}, run
}

// saved returns the position of a run's latest checkpoint.
func saved(t *testing.T, run string) checkpoint.Position {
	t.Helper()
	c, _, err := checkpoint.Latest(run)
	if err != nil {
		t.Fatal(err)
	}
	return c.Position
}

// Training continues when nobody reads its output any more.
func TestTrainingOutlivesItsReaders(t *testing.T) {
	args, run := smallTraining(t, "2")
	cmd := program(t, nil, args...)
	cmd.Stdout, cmd.Stderr = unread(t), unread(t)
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if p := saved(t, run); p.Epoch != 2 {
		t.Errorf("it ended at %+v", p)
	}
}

// A server whose log nobody reads any more still answers and shuts down cleanly.
func TestServingOutlivesItsReaders(t *testing.T) {
	model := filepath.Join(t.TempDir(), "pixels.onnx")
	if err := writePixels(model, durableSide); err != nil {
		t.Fatal(err)
	}
	cmd := program(t, nil, "serve", "--model", model, "--addr", "127.0.0.1:0", "--threads", "1", "--max-batch", "1", "--pause", "0s")
	cmd.Stderr = unread(t)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd, lines: bufio.NewReader(out)}
	p.ready()
	if status, err := p.ask("GET", "/info", nil, nil); err != nil || status != 200 {
		t.Errorf("/info: %d %v", status, err)
	}
	if err := errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait()); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

// A command that only prints ends quietly when nobody reads its output.
func TestShortCommandsEndWithTheirReaders(t *testing.T) {
	cmd := program(t, nil, "version")
	var errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = unread(t), &errs
	var end *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &end) || end.Sys().(syscall.WaitStatus).Signal() != syscall.SIGPIPE || errs.Len() > 0 {
		t.Errorf("it ended with %v, %s", err, &errs)
	}
}

// SIGHUP stops a run as SIGTERM does, even if it arrives twice, but not a run started with the
// signal ignored.
func TestHangup(t *testing.T) {
	// If the tests run with SIGHUP ignored, as under nohup, child processes would inherit that;
	// catching it here gives them the default.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	for _, c := range []struct {
		behind []string
		epochs string
		said   string
		code   int
	}{
		{nil, "100000", "\nstopped    interrupted; saved at step ", 130},
		{[]string{"sh", "-c", `trap "" HUP; exec "$@"`, "sh"}, "2", "\ndone       6 steps", 0},
	} {
		args, run := smallTraining(t, c.epochs)
		cmd := program(t, c.behind, args...)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(out)
		var said strings.Builder
		for !strings.HasPrefix(said.String(), "images ") { // printed before the first step
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			said.WriteString(line)
		}
		hang := func() error { return cmd.Process.Signal(syscall.SIGHUP) }
		if err := errors.Join(hang(), hang()); err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(lines)
		if err != nil {
			t.Fatal(err)
		}
		said.Write(rest)
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != c.code || !strings.Contains(said.String(), c.said) {
			t.Errorf("%v: code %d, want %d; it said\n%s", c.behind, code, c.code, &said)
		}
		if p := saved(t, run); c.code == 0 && p.Step != 6 {
			t.Errorf("%v: saved at %+v", c.behind, p)
		}
	}
}

// A SIGHUP that arrives before serve handles it does not end serve.
func TestServeOutlivesAnEarlyHangup(t *testing.T) {
	ctx := catch("serve")
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil { // which by default would kill this test
		t.Fatal(err)
	}
	if err := ctx.Err(); err != nil {
		t.Error(err)
	}
}
