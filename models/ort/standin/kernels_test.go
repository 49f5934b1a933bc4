package standin

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The output of testdata/test/launch.c, or part of it, by task. Blocks of 64 threads sum 310
// numbers.
var launches = []struct{ what, want string }{
	{"sums", "2016 6112 10208 14304 15255 47895 0\n2016 6112 10208 14304 15255 47895 0\n"},
	{"places", "done\n"},
	{"vectors", "23.25\n"},
	{"unwritten", "1 1\n"},
	{"late", "64 64 64 64 54 310 0\n"},
	{"capture", "captured 0 0, elsewhere 1\n64 64 64 64 54 310 0\n10 13\n128 128 128 128 108 620 0\n20 26\n"},
	{"together", "right\nright\nright\nright\n"},
	{"refused", "500 500 200 1 1 1 0 900\n"},
	{"error", "kernels.cu:3:"},
	{"undeclared", "COMPILATION: "},
	{"macro", "COMPILATION: "},
	{"option", "INVALID_OPTION: nvrtc: error: invalid value for option --no-such-option\n"},
}

// Tasks that end the process, and what it says before.
var crashes = []struct{ what, want string }{
	{"apart", "kernel apart: in block 0,0,0 32 of 64 threads wait in __syncthreads and the others have ended"},
	{"unaligned", ""},
}

// A program linked against the stand-ins compiles and launches kernels.
func TestKernels(t *testing.T) {
	launch, tmp := launcher(t)
	for _, l := range launches {
		got, err := launch("testdata/test/kernels.cu", l.what)
		if err != nil || got != l.want && (strings.HasSuffix(l.want, "\n") || !strings.Contains(got, l.want)) {
			t.Errorf("%s: %v, %q, want %q", l.what, err, got, l.want)
		}
	}
	for _, c := range crashes {
		if got, err := launch("testdata/test/kernels.cu", c.what); err == nil || !strings.Contains(got, c.want) {
			t.Errorf("%s: %v, %q, want an end with %q", c.what, err, got, c.want)
		}
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// Two launches reveal each missing barrier that a kernel needs.
func TestMissingBarriers(t *testing.T) {
	launch, tmp := launcher(t)
	code, err := os.ReadFile("testdata/test/kernels.cu")
	if err != nil {
		t.Fatal(err)
	}
	const barrier, needed = "__syncthreads();", 3 // those of the first kernel
	parts := strings.Split(string(code), barrier)
	path := filepath.Join(tmp, "without.cu")
	for i := range needed {
		without := strings.Join(parts[:i+1], barrier) + strings.Join(parts[i+1:], barrier)
		if err := os.WriteFile(path, []byte(without), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, _ := launch(path, "sums"); got == launches[0].want || strings.Contains(got, "COMPILATION") {
			t.Errorf("without barrier %d: %q", i, got)
		}
	}
}

// launcher builds the libraries and the program, and returns a function that runs it with a file
// of kernels and a task, and the folder for its temporary files.
func launcher(t *testing.T) (launch func(kernels, what string) (string, error), tmp string) {
	t.Helper()
	if Compiler() == "" {
		t.Skip("no C compiler to make the stand-ins with")
	}
	dir, tmp := t.TempDir(), t.TempDir()
	program := filepath.Join(dir, "launch")
	args := []string{"-w", "-o", program, "testdata/test/launch.c", "-lpthread"}
	for _, soname := range []string{"libcudart.so.13", driver, nvrtc} {
		if err := compile(dir, soname, nil); err != nil {
			t.Fatal(err)
		}
		args = append(args, filepath.Join(dir, soname))
	}
	if out, err := exec.Command(Compiler(), args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return func(kernels, what string) (string, error) {
		cmd := exec.Command(program, kernels, what)
		cmd.Env = append(Environment(dir), "TMPDIR="+tmp)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}, tmp
}
