package orttest

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"vicreg/models/ort"
	"vicreg/models/ort/standin"
)

//go:embed testdata/group.c
var groupSource []byte

const envGroup, envGroupLibrary = "VICREG_TEST_GROUP", "VICREG_TEST_GROUP_LIBRARY"

// Group runs the calling test in size child processes, which form a group, and returns it there.
// In the parent process it returns nil: the caller then returns, and the test has passed or
// failed as it did in the children.
func Group(t *testing.T, size int) *ort.Group {
	t.Helper()
	if library := os.Getenv(envGroupLibrary); library != "" {
		g, err := ort.JoinGroup(library)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(g.Close)
		return g
	}
	library := GroupLibrary(t)
	var all sync.WaitGroup
	for _, env := range GroupMembers(t, size) {
		all.Go(func() {
			cmd := exec.Command(os.Args[0], "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$", "-test.v")
			cmd.Env = append(os.Environ(), env, envGroupLibrary+"="+library)
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
				t.Errorf("%s: %v\n%s", env, err, out)
			}
		})
	}
	all.Wait()
	return nil
}

// GroupLibrary compiles a library that joins processes on one machine: see vicreg_group.h. It
// skips the test without a C compiler.
func GroupLibrary(t *testing.T) (path string) {
	t.Helper()
	if standin.Compiler() == "" {
		t.Skip("no C compiler to make a group of processes with")
	}
	dir := t.TempDir()
	path = filepath.Join(dir, "libgroup.so")
	cmd := exec.Command(standin.Compiler(), "-x", "c", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", path, "-")
	cmd.Stdin = strings.NewReader(string(groupSource))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("compile a group of processes: %v\n%s", err, out)
	}
	return path
}

// GroupMembers returns the environment variable of each process of a new group, by rank.
func GroupMembers(t *testing.T, size int) (env []string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "group")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for rank := range size {
		env = append(env, fmt.Sprintf("%s=%s,%d,%d", envGroup, file, rank, size))
	}
	return env
}
