package ort

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// linker builds small libraries that stand in for CUDA's.
type linker struct{ cc string }

func newLinker(t *testing.T) linker {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil || runtime.GOOS != "linux" {
		t.Skipf("wants a C compiler on Linux to make libraries with: %v", err)
	}
	return linker{cc}
}

// link builds the library name in dir from source, linked against the libraries with in the same
// folder.
func (l linker) link(t *testing.T, dir, name, source string, with ...string) {
	t.Helper()
	args := []string{"-shared", "-fPIC", "-o", filepath.Join(dir, name), "-Wl,-soname," + name, "-x", "c", "-", "-L" + dir, "-Wl,--no-as-needed"}
	for _, w := range with {
		args = append(args, "-l:"+w)
	}
	cmd := exec.Command(l.cc, args...)
	cmd.Stdin = strings.NewReader(source)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make %s: %v: %s", name, err, out)
	}
}

// TestLoadFrom: the first folders, then the loader's search path, then the last folders.
func TestLoadFrom(t *testing.T) {
	l := newLinker(t)
	dir := folders(t, "noise", "one", "two")
	in := func(names ...string) (dirs []string) {
		for _, n := range names {
			dirs = append(dirs, filepath.Join(dir, n))
		}
		return dirs
	}
	for _, name := range []string{"libvicregtest1.so", "libvicregtest2.so", "libvicregtest3.so", "libvicregtest4.so"} {
		if err := os.WriteFile(filepath.Join(dir, "noise", name), []byte("noise"), 0o644); err != nil {
			t.Fatal(err)
		}
		l.link(t, in("one")[0], name, "int x;")
		l.link(t, in("two")[0], name, "int x;")
	}
	t.Chdir(in("one")[0])
	for _, c := range []struct {
		what, name  string
		first, last []string
		want        string // the folder
		err         string
	}{
		{what: "nowhere", name: "libvicregtest1.so", err: errMissing.Error()},
		{what: "only noise", name: "libvicregtest1.so", last: in("none", "noise"), err: in("noise")[0]},
		{what: "the first of the last", name: "libvicregtest1.so", last: in("none", "two", "one"), want: "two"},
		{what: "the first before the last", name: "libvicregtest2.so", first: in("one"), last: in("two"), want: "one"},
		{what: "after noise", name: "libvicregtest3.so", first: in("noise"), last: in("noise", "one"), want: "one"},
		// It is loaded by now, so the loader finds it.
		{what: "the loader before the last", name: "libvicregtest3.so", last: in("two"), want: "one"},
		{what: "the first before the loader", name: "libvicregtest3.so", first: in("two"), want: "two"},
	} {
		path, err := loadFrom(c.name, c.first, c.last, func(string) error { return nil })
		if c.err != "" {
			complains(t, c.what, err, c.err)
		} else if want := filepath.Join(dir, c.want, c.name); err != nil || path != want {
			t.Errorf("%s: got %q, %v, want %s", c.what, path, err, want)
		}
	}
	if err := loadAll(filepath.Join(dir, "*", "libvicregtest4.so")); err == nil || !strings.Contains(err.Error(), "noise") {
		t.Errorf("a pattern that fits noise gave %v", err)
	}
	if err := loadAll(filepath.Join(dir, "[ot]*", "libvicregtest4.so")); err != nil {
		t.Error(err)
	}
}

func complains(t *testing.T, what string, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: got %v, want %s", what, err, want)
	}
}

const standInRuntime = `
#include <stdlib.h>
static int number(const char *name) { return atoi(getenv(name)); }
int cudaDriverGetVersion(int *v) { *v = number("STAND_IN_DRIVER"); return 0; }
int cudaGetDeviceCount(int *n) { *n = number("STAND_IN_DEVICES"); return *n > 0 ? 0 : 100; }
const char *cudaGetErrorString(int e) { return e == 100 ? "no CUDA-capable device is detected" : "?"; }
`

const standInCUDNN = `
#include <stdlib.h>
unsigned long cudnnGetCudartVersion(void) { return atoi(getenv("STAND_IN_CUDNN")); }
`

// standIns makes a folder with all libraries that FindCUDA looks for, except the one that vicreg
// does not need, and one that is linked against two of them as the provider is.
func standIns(t *testing.T, l linker) string {
	dir := folders(t, ".")
	l.link(t, dir, "libcudart.so.13", standInRuntime)
	l.link(t, dir, "libcublasLt.so.13", "int lt(void) { return 1; }")
	l.link(t, dir, "libcublas.so.13", "int lt(void); int blas(void) { return lt(); }", "libcublasLt.so.13")
	for _, name := range []string{"libcuda.so.1", "libcurand.so.10", "libnvrtc.so.13", "libnvrtc-builtins.so.13.0", "libcudnn_ops.so.9"} {
		l.link(t, dir, name, "int x;")
	}
	l.link(t, dir, cudnn, standInCUDNN)
	l.link(t, dir, "provider.so", "int blas(void); int x(void) { return blas(); }", "libcublas.so.13", "libcudart.so.13")
	return dir
}

// seen is what the child process of TestFindCUDA has found.
type seen struct {
	Paths          []string
	Errors         map[string]string
	Driver         int
	Devices        int
	Zero, One      string // what Check says about devices 0 and 1
	Driven         string
	Provider, Load string
}

// TestFindCUDAProcess is the child process of TestFindCUDA: what is loaded stays loaded.
func TestFindCUDAProcess(t *testing.T) {
	provider := os.Getenv("VICREG_TEST_PROVIDER")
	if provider == "" {
		t.Skip("runs as a process of TestFindCUDA")
	}
	text := func(err error) string {
		if err == nil {
			return ""
		}
		return err.Error()
	}
	c := FindCUDA(filepath.Dir(provider))
	s := seen{Errors: map[string]string{}, Driver: c.Driver, Devices: c.Devices, Driven: c.DriverText(),
		Zero: text(c.Check(0)), One: text(c.Check(1)), Load: text(FindCUDA("/elsewhere").Check(0))}
	for _, l := range c.Libraries {
		s.Paths = append(s.Paths, l.Path)
		if l.Err != nil {
			s.Errors[l.Name] = l.Problem()
		}
	}
	_, err := load(provider)
	s.Provider = text(err)
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(os.Getenv("VICREG_TEST_SEEN"), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// find runs FindCUDA in a child process, with stand-ins that report what env says.
func find(t *testing.T, provider, dirs string, env ...string) (s seen) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "seen")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFindCUDAProcess$")
	cmd.Env = append(os.Environ(), "VICREG_TEST_PROVIDER="+provider, "VICREG_TEST_SEEN="+file, EnvCUDA+"="+dirs,
		"STAND_IN_DRIVER=13010", "STAND_IN_DEVICES=1", "STAND_IN_CUDNN=13000")
	cmd.Env = append(cmd.Env, env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestFindCUDA(t *testing.T) {
	l := newLinker(t)
	dir := standIns(t, l)
	// Away from the libraries, and linked against them by name only.
	provider := filepath.Join(t.TempDir(), "provider.so")
	if err := os.Rename(filepath.Join(dir, "provider.so"), provider); err != nil {
		t.Fatal(err)
	}
	s := find(t, provider, dir)
	for i, l := range cudaLibraries {
		if want := filepath.Join(dir, l.Name); s.Paths[i] != want && !l.Optional {
			t.Errorf("%s is %q, want %s", l.Name, s.Paths[i], want)
		}
	}
	if s.Driver != 13010 || s.Driven != "for CUDA 13.1" || s.Devices != 1 || s.Zero != "" || s.Load != "" {
		t.Errorf("found %+v", s)
	}
	if want := "there is no CUDA device 1: the first is 0, the last 0"; s.One != want {
		t.Errorf("device 1: got %q, want %q", s.One, want)
	}
	if s.Provider != "" {
		t.Errorf("the provider does not find what was loaded: %s", s.Provider)
	}

	other := folders(t, ".")
	l.link(t, other, cudnn, "unsigned long cudnnGetCudartVersion(void) { return 12090; }")
	for what, s := range map[string]seen{
		"the first folder":   find(t, provider, other+":"+dir),
		"the loader's place": find(t, filepath.Join(dir, "provider.so"), "", "LD_LIBRARY_PATH="+other),
	} {
		if i := slices.IndexFunc(cudaLibraries, func(l CUDALibrary) bool { return l.Name == cudnn }); s.Zero != "" || s.Paths[i] != filepath.Join(dir, cudnn) {
			t.Errorf("with cuDNN of another CUDA in %s: %s, %q", what, s.Paths[i], s.Zero)
		}
	}

	bad := folders(t, ".")
	for name, from := range map[string]string{cudnn: filepath.Join(dir, cudnn), "libcudnn_ops.so.9": filepath.Join(dir, "libcudnn_ops.so.9")} {
		if err := os.Link(from, filepath.Join(bad, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(bad, "libcudnn_cnn.so.9"), []byte("noise"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ what, dirs, env, want string }{
		{"an old driver", dir, "STAND_IN_DRIVER=12080", "the driver supports CUDA 12.8, but 13.0 is needed: install NVIDIA's driver, version 580 or later"},
		{"no driver behind its library", dir, "STAND_IN_DRIVER=0", "there is no driver: install NVIDIA's driver"},
		{"no device", dir, "STAND_IN_DEVICES=0", "CUDA has no usable device: no CUDA-capable device is detected"},
		{"cuDNN of another CUDA", dir, "STAND_IN_CUDNN=12090", "libcudnn.so.9 cannot be used: " + filepath.Join(dir, cudnn) +
			" is built for CUDA 12.9, but 13.0 is needed: pip install nvidia-cudnn-cu13~=9.0, or correct VICREG_CUDA_LIBRARIES, which says " + dir},
		{"a part of cuDNN that is no library", bad + ":" + dir, "X=", "libcudnn.so.9 cannot be loaded: " + filepath.Join(bad, "libcudnn_cnn.so.9")},
	} {
		s := find(t, provider, c.dirs, c.env)
		if !strings.Contains(s.Zero, c.want) || strings.Contains(s.Zero, "\n") || s.Load != s.Zero {
			t.Errorf("%s: got %q and %q, want %q", c.what, s.Zero, s.Load, c.want)
		}
	}
}

// TestCheckSaysWhatIsMissing checks the line that a new user sees.
func TestCheckSaysWhatIsMissing(t *testing.T) {
	missing := func(names ...string) (c CUDA) {
		c = CUDA{Driver: 13000, Devices: 2}
		for _, l := range cudaLibraries {
			if slices.Contains(names, l.Name) {
				l.Err = errMissing
			}
			c.Libraries = append(c.Libraries, l)
		}
		return c
	}
	t.Setenv(EnvCUDA, "")
	for _, c := range []struct {
		what string
		CUDA
		index int
		want  string
	}{
		{what: "nothing", CUDA: missing(), index: 1},
		{what: "what is not needed", CUDA: missing("libcufft.so.12")},
		{what: "the driver", CUDA: missing("libcuda.so.1"), want: "CUDA cannot be used: libcuda.so.1 not found: " + installDriver},
		{what: "two of one package and another", CUDA: missing("libcublas.so.13", "libcublasLt.so.13", cudnn), want: "CUDA cannot be used: " +
			"libcublasLt.so.13, libcublas.so.13, libcudnn.so.9 not found: pip install nvidia-cublas~=13.0 nvidia-cudnn-cu13~=9.0, " +
			"or install CUDA 13 and cuDNN 9, or set VICREG_CUDA_LIBRARIES to their folders"},
		{what: "a device", CUDA: missing(), index: 2, want: "there is no CUDA device 2: the first is 0, the last 1"},
		{what: "all devices", CUDA: CUDA{Driver: 13000}, want: "CUDA has no usable device: the driver reports none"},
		{what: "what counts them", CUDA: CUDA{err: errors.New("broken")}, want: "CUDA has no usable device: broken"},
	} {
		got := ""
		if err := c.Check(c.index); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.what, got, c.want)
		}
	}
	t.Setenv(EnvCUDA, "/opt/none")
	if err := missing(cudnn).Check(0); err == nil || !strings.HasSuffix(err.Error(), ", or correct VICREG_CUDA_LIBRARIES, which says /opt/none") {
		t.Errorf("with %s: %v", EnvCUDA, err)
	}
}
