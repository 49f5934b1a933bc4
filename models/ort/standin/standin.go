// Package standin builds libraries that stand in for those of CUDA on machines without a GPU, for
// tests: one device whose memory is the host's. With them the runtime's CUDA provider loads and
// opens sessions as it would on a GPU: it accepts or rejects the nodes of a graph, and copies are
// real. The only kernels that compute are those compiled by NVRTC, by the C compiler for the
// host, and those of cuDNN that the operators of package ort call; all others do nothing.
package standin

import (
	"bytes"
	"debug/elf"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

//go:embed testdata
var testdata embed.FS

// The sources of each library, by the stem of its name.
var defined = map[string][]string{
	"libcuda":   {"cubin.h", "threads.h", "launch.h", "threads.c", "driver.c"},
	"libcudart": {"cuda.c"},
	"libcublas": {"cublas.c"},
	"libcudnn":  {"cudnn.h", "cudnn.c", "cudnngraph.c"},
	"libnvrtc":  {"cubin.h", "threads.h", "kernel.h", "nvrtc.c"},
}

// EnvLog names the environment variable with the file to which the stand-ins for cuDNN and cuBLAS
// append what is requested of them.
const EnvLog = "VICREG_STANDIN_LOG"

// EnvWorkspace names the environment variable with the bytes of workspace that convolutions of
// the stand-in for cuDNN need, except the exact ones, which need none.
const EnvWorkspace = "VICREG_STANDIN_WORKSPACE"

// EnvNaive and EnvNaiveMS name the environment variables with the number of additional
// configurations of the slow engine that the stand-in for cuDNN lists, and with the milliseconds
// that one takes.
const (
	EnvNaive   = "VICREG_STANDIN_NAIVE"
	EnvNaiveMS = "VICREG_STANDIN_NAIVE_MS"
)

// EnvSums and EnvNoSums name the environment variables with the factor on the time of a
// convolution of the stand-in for cuDNN that also sums its result, and that leaves it no kernel
// for that.
const (
	EnvSums   = "VICREG_STANDIN_SUMS"
	EnvNoSums = "VICREG_STANDIN_NO_SUMS"

	// EnvSumsWorkspace is EnvWorkspace for those kernels.
	EnvSumsWorkspace = "VICREG_STANDIN_SUMS_WORKSPACE"
)

// EnvLoops names the environment variable that restricts the stand-in for cuDNN to the engine of
// last resort.
const EnvLoops = "VICREG_STANDIN_LOOPS"

// EnvMemory names the environment variable with the bytes of the device's memory.
const EnvMemory = "VICREG_STANDIN_MEMORY"

// EnvCapability names the environment variable with the major version of the device's compute
// capability.
const EnvCapability = "VICREG_STANDIN_CAPABILITY"

// driver is the only library whose symbols are not versioned.
const driver = "libcuda.so.1"

// cudnn is loaded by name, and its functions are looked up by name.
const cudnn = "libcudnn.so.9"

const nvrtc = "libnvrtc.so.13"

// loaded are the libraries that are loaded by name.
var loaded = []string{cudnn, nvrtc}

// Build compiles into dir the CUDA libraries that the file provider, the runtime's
// libonnxruntime_providers_cuda.so, is linked against or loads. It needs a C compiler.
func Build(dir, provider string) error {
	f, err := elf.Open(provider)
	if err != nil {
		return fmt.Errorf("stand in for cuda: %w", err)
	}
	defer f.Close()
	needed, err := f.ImportedLibraries()
	if err != nil {
		return fmt.Errorf("stand in for cuda: %w", err)
	}
	symbols, err := f.ImportedSymbols()
	if err != nil {
		return fmt.Errorf("stand in for cuda: %w", err)
	}
	for _, soname := range append(needed, loaded...) {
		if !strings.HasPrefix(soname, "libcu") && !slices.Contains(loaded, soname) {
			continue
		}
		var of []elf.ImportedSymbol
		for _, s := range symbols {
			if s.Library == soname || soname == driver && s.Library == "" && strings.HasPrefix(s.Name, "cu") {
				of = append(of, s)
			}
		}
		if soname == cudnn {
			if of, err = named(f, "cudnn"); err != nil {
				return fmt.Errorf("stand in for %s: %w", soname, err)
			}
		}
		if err := compile(dir, soname, of); err != nil {
			return fmt.Errorf("stand in for %s: %w", soname, err)
		}
	}
	return nil
}

// named returns the functions that a library looks up at run time: those whose names, beginning
// with prefix, are among its constants.
func named(f *elf.File, prefix string) (all []elf.ImportedSymbol, err error) {
	section := f.Section(".rodata")
	if section == nil {
		return nil, errors.New("no .rodata")
	}
	data, err := section.Data()
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, m := range regexp.MustCompile("\\x00("+prefix+"[A-Z][A-Za-z0-9_]+)\\x00").FindAllSubmatch(slices.Concat([]byte{0}, bytes.ReplaceAll(data, []byte{0}, []byte{0, 0})), -1) {
		if name := string(m[1]); !seen[name] {
			seen[name] = true
			all = append(all, elf.ImportedSymbol{Name: name})
		}
	}
	return all, nil
}

// compile builds one library with the given symbols. Definitions in testdata take precedence.
func compile(dir, soname string, symbols []elf.ImportedSymbol) error {
	var source, versions bytes.Buffer
	source.WriteString("static int object;\n")
	for _, s := range symbols {
		if strings.Contains(s.Name, "Create") {
			fmt.Fprintf(&source, "__attribute__((weak)) int %s(void **p) { *p = &object; return 0; }\n", s.Name)
		} else {
			fmt.Fprintf(&source, "__attribute__((weak)) long %s(void) { return 0; }\n", s.Name)
		}
		if s.Version != "" && versions.Len() == 0 {
			fmt.Fprintf(&versions, "%s { global: *; };\n", s.Version)
		}
	}
	name := filepath.Join(dir, strings.ReplaceAll(soname, ".", "_"))
	files := map[string][]byte{name + ".c": source.Bytes(), name + ".map": versions.Bytes()}
	args := []string{"-shared", "-fPIC", "-O1", "-w", fmt.Sprintf("-DCOMPILER=%q", Compiler()), "-Wl,-soname," + soname, "-o", filepath.Join(dir, soname), name + ".c"}
	if versions.Len() > 0 {
		args = append(args, "-Wl,--version-script="+name+".map")
	}
	stem, _, _ := strings.Cut(soname, ".")
	for _, part := range defined[stem] {
		code, err := testdata.ReadFile("testdata/" + part)
		if err != nil {
			return err
		}
		part = filepath.Join(dir, part)
		files[part] = code
		if filepath.Ext(part) == ".c" {
			args = append(args, part)
		}
	}
	for file, content := range files {
		if err := os.WriteFile(file, content, 0o644); err != nil {
			return err
		}
	}
	if out, err := exec.Command(Compiler(), append(args, "-lm", "-ldl")...).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// Compiler returns the C compiler to use, empty if there is none.
func Compiler() string {
	for _, name := range []string{os.Getenv("CC"), "cc", "gcc", "clang"} {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			return path
		}
	}
	return ""
}

// Environment returns the environment of a process that finds the libraries in dir before any
// others.
func Environment(dir string) []string {
	env := slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "LD_LIBRARY_PATH=") })
	return append(env, "LD_LIBRARY_PATH="+strings.TrimSuffix(dir+":"+os.Getenv("LD_LIBRARY_PATH"), ":"))
}
