package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"vicreg/models/ort/orttest"
	"vicreg/pipeline/checkpoint"
)

// member is one of several processes that train together, with its output.
type member struct {
	*exec.Cmd
	out, err bytes.Buffer
}

// startTogether starts a group of the given size, all with the same arguments.
func startTogether(t *testing.T, size int, args ...string) []*member {
	t.Helper()
	return startEach(t, size, func(int) []string { return args })
}

// startEach starts a group of processes with arguments that depend on the rank.
func startEach(t *testing.T, size int, args func(rank int) []string) (all []*member) {
	t.Helper()
	more := []string{"--collectives", orttest.GroupLibrary(t), "--threads", "1", "--workers", "1"}
	for rank, env := range orttest.GroupMembers(t, size) {
		m := &member{Cmd: program(t, nil, slices.Concat(args(rank), more)...)}
		m.Env, m.Stdout, m.Stderr = append(os.Environ(), env), &m.out, &m.err
		if err := m.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

// end waits for all processes and checks their exit codes.
func end(t *testing.T, all []*member, codes ...int) {
	t.Helper()
	for rank, m := range all {
		m.Wait()
		if code := m.ProcessState.ExitCode(); code != codes[rank] {
			t.Errorf("process %d ended with %d, want %d\n%s%s", rank, code, codes[rank], &m.out, &m.err)
		}
	}
}

// stepLosses returns the losses in a run's metrics, in order.
func stepLosses(t *testing.T, run string) (losses []float64) {
	t.Helper()
	f, err := os.Open(filepath.Join(run, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for d := json.NewDecoder(f); ; {
		var line struct {
			Kind string
			Loss float64
		}
		if err := d.Decode(&line); err == io.EOF {
			return losses
		} else if err != nil {
			t.Fatal(err)
		}
		if line.Kind == "step" {
			losses = append(losses, line.Loss)
		}
	}
}

// Two processes train one model: only the first writes and prints, and the loss is computed over
// the embeddings of both.
func TestTrainTogether(t *testing.T) {
	args, run := smallTraining(t, "2")
	all := startTogether(t, 2, args...)
	end(t, all, 0, 0)
	if !strings.Contains(all[0].out.String(), "processes  2, each with 4 images of a batch; BatchNorm uses the statistics of the whole batch\n") || !strings.Contains(all[0].out.String(), "done       6 steps") {
		t.Errorf("the first says\n%s", &all[0].out)
	}
	if all[1].out.Len()+all[1].err.Len() > 0 {
		t.Errorf("the second says\n%s%s", &all[1].out, &all[1].err)
	}
	if strings.Contains(all[0].err.String(), "process 0") {
		t.Errorf("the first says\n%s", &all[0].err)
	}
	alone, other := smallTraining(t, "2")
	alone[2] = args[2]
	if out, err := program(t, nil, alone...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// Images, views and the statistics of BatchNorm equal those of a single process.
	got, want := stepLosses(t, run), stepLosses(t, other)
	if len(got) != 6 || len(want) != 6 {
		t.Fatalf("losses %v together, %v alone", got, want)
	}
	for i := range got {
		if math.Abs(got[i]/want[i]-1) > 1e-3 {
			t.Errorf("losses %v together, %v alone", got, want)
		}
	}
	// With statistics of its own each process normalises half as many images.
	unlike, apart := smallTraining(t, "2")
	unlike[2] = args[2]
	all = startTogether(t, 2, append(unlike, "--sync-batchnorm=false")...)
	end(t, all, 0, 0)
	if !strings.Contains(all[0].out.String(), "BatchNorm uses the statistics of each part\n") {
		t.Errorf("the first says\n%s", &all[0].out)
	}
	got = stepLosses(t, apart)
	if e := math.Abs(got[0]/want[0] - 1); len(got) != 6 || e > 0.1 || e < 1e-4 {
		t.Errorf("losses %v with statistics of each, %v alone", got, want)
	}
}

// --sync-batchnorm is refused where it has no effect.
func TestSyncBatchNormIsRefused(t *testing.T) {
	args, _ := smallTraining(t, "1")
	out, err := program(t, nil, append(args, "--sync-batchnorm=false")...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "--sync-batchnorm requires --collectives") {
		t.Errorf("%v\n%s", err, out)
	}
}

// Each process reads its own part of the images: within an epoch exactly one meets each bad file.
func TestTrainTogetherParts(t *testing.T) {
	args, run := smallTraining(t, "1")
	const bad = 8 // no two adjacent, since a bad image is replaced by its successor
	for i := range bad {
		if err := os.WriteFile(filepath.Join(args[2], fmt.Sprintf("%02d-bad.png", 2*i)), []byte("no picture"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	end(t, startTogether(t, 2, args...), 0, 0)
	met := map[string]int{}
	for _, name := range []string{"bad-images.txt", "bad-images-rank1.txt"} {
		list, err := os.ReadFile(filepath.Join(run, name))
		if err != nil {
			t.Error(err)
		}
		for line := range strings.Lines(string(list)) {
			name, _, _ := strings.Cut(line, "\t")
			met[name]++
		}
	}
	if len(met) != bad { // 24 + 8 images are exactly four batches
		t.Errorf("%d of %d bad images are listed", len(met), bad)
	}
	for name, n := range met {
		if n != 1 {
			t.Errorf("%s is met by %d processes", name, n)
		}
	}
}

// underWay returns once a checkpoint shows two steps.
func underWay(run string) {
	for steps := int64(-1); steps < 2; {
		if c, _, err := checkpoint.Latest(run); err == nil {
			steps = c.Position.Step
		}
	}
}

// Interrupting one process ends all with a checkpoint, from which one process or four can resume; a
// time limit ends them too.
func TestTrainTogetherStops(t *testing.T) {
	args, run := smallTraining(t, "100000")
	all := startTogether(t, 2, append(args, "--checkpoint-every", "1ms")...)
	underWay(run)
	all[1].Process.Signal(syscall.SIGUSR1)
	end(t, all, 1, 130)
	if said := all[0].err.String(); !strings.HasSuffix(said, "vicreg train: another process was interrupted\n") {
		t.Errorf("the first says\n%s", said)
	}
	step := saved(t, run).Step
	resume := []string{"train", "--out", run, "--resume", "--onnxruntime", args[slices.Index(args, "--onnxruntime")+1], "--time-limit", "1ns"}
	if out, err := program(t, nil, resume...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	end(t, startTogether(t, 4, resume...), 0, 0, 0, 0)
	if after := saved(t, run).Step; after != step+2 {
		t.Errorf("two more steps from %d lead to %d", step, after)
	}
}

// startOther returns two files with different initial weights.
func startOther(t *testing.T, args []string) (files [2]string) {
	t.Helper()
	for i := range files {
		run := filepath.Join(t.TempDir(), "run")
		if out, err := program(t, nil, slices.Concat(args, []string{"--out", run, "--epochs", "1", "--seed", fmt.Sprint(i + 2)})...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		files[i] = filepath.Join(run, fmt.Sprintf("checkpoint-%d.safetensors", saved(t, run).Step))
	}
	return files
}

// Processes that would train different models refuse to start.
func TestTrainTogetherAlike(t *testing.T) {
	args, _ := smallTraining(t, "2")
	other := startOther(t, args)
	more := t.TempDir()
	if err := writePictures(more, 25); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(rank int, args []string) []string{
		"process 1 and process 0 have different settings": func(rank int, args []string) []string {
			return append(args, "--variance", []string{"25", "24"}[rank])
		},
		"process 1 and process 0 have different weights": func(rank int, args []string) []string {
			return append(args, "--init", other[rank])
		},
		"process 1 and process 0 have different images": func(rank int, args []string) []string {
			return append(args, "--data", []string{args[2], more}[rank])
		},
		"--batch 7: 2 processes need equal parts of it, of at least 2 images": func(rank int, args []string) []string {
			return append(args, "--batch", "7")
		},
	} {
		all := startEach(t, 2, func(rank int) []string { return change(rank, slices.Clone(args)) })
		for rank, m := range all {
			m.Wait()
			if said := m.err.String(); !regexp.MustCompile(`vicreg train: ` + regexp.QuoteMeta(want)).MatchString(said) {
				t.Errorf("process %d: want %q, got\n%s", rank, want, said)
			}
		}
	}
}

// The MPI library behaves like the tests' own.
func TestTrainTogetherOverMPI(t *testing.T) {
	for _, tool := range []string{"mpicc", "mpirun"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no MPI here: %v", err)
		}
	}
	library := filepath.Join(t.TempDir(), "libvicreg_mpi.so")
	build := exec.Command("mpicc", "-Wall", "-Werror", "-O2", "-shared", "-fPIC", "-I", "models/ort", "-o", library, "scripts/collectives/mpi.c")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	args, run := smallTraining(t, "2")
	command := func(more ...string) *exec.Cmd {
		cmd := program(t, []string{"mpirun", "-n", "2"}, slices.Concat(args, []string{"--collectives", library, "--threads", "1"}, more)...)
		cmd.Env = append(os.Environ(), "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
			"OMPI_MCA_rmaps_base_oversubscribe=1", "PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe")
		return cmd
	}
	train := func() (string, error) {
		out, err := command().CombinedOutput()
		return string(out), err
	}
	// If one fails while the other waits for it, both end.
	if err := os.MkdirAll(run, 0o777); err != nil {
		t.Fatal(err)
	}
	lock, err := os.Open(run)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if out, err := train(); err == nil || !strings.Contains(out, "another vicreg train is running in ") {
		t.Errorf("%v\n%s", err, out)
	}
	lock.Close()
	if out, err := train(); err != nil || !strings.Contains(out, "processes  2, each with 4 images of a batch; BatchNorm uses the statistics of the whole batch\n") || saved(t, run).Step != 6 {
		t.Errorf("%v\n%s", err, out)
	}
	// A signal forwarded by mpirun ends both with a checkpoint.
	var said bytes.Buffer
	long := command("--force", "--epochs", "100000", "--checkpoint-every", "1ms")
	long.Stdout, long.Stderr = &said, &said
	if err := errors.Join(os.RemoveAll(run), long.Start()); err != nil {
		t.Fatal(err)
	}
	underWay(run)
	long.Process.Signal(syscall.SIGUSR1)
	long.Wait()
	if !strings.Contains(said.String(), "stopped    interrupted; saved at step") {
		t.Errorf("%s", &said)
	}
}
