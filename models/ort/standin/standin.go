// Package standin makes libraries that stand in for those of CUDA where there is no
// GPU, for tests: one device whose memory is the host's. With them the runtime's CUDA
// provider loads and opens sessions as it would on a GPU: it takes or refuses the
// nodes of a graph, and copies are real. Of kernels those compute that are compiled by
// NVRTC, by the C compiler for the host, and those of cuDNN that the operators of package
// ort call; all others do nothing.
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

// What has to answer, by the beginning of the library's name.
var defined = map[string][]string{
	"libcuda":   {"cubin.h", "threads.h", "launch.h", "threads.c", "driver.c"},
	"libcudart": {"cuda.c"},
	"libcublas": {"cublas.c"},
	"libcudnn":  {"cudnn.h", "cudnn.c", "cudnngraph.c"},
	"libnvrtc":  {"cubin.h", "threads.h", "kernel.h", "nvrtc.c"},
}

// EnvLog names the environment variable with the file to which the stand-ins for cuDNN
// and cuBLAS append what they were asked for.
const EnvLog = "VICREG_STANDIN_LOG"

// EnvWorkspace names the environment variable with the bytes of workspace that the
// convolutions of the stand-in for cuDNN ask for, but for the exact ones, which need none.
const EnvWorkspace = "VICREG_STANDIN_WORKSPACE"

// EnvNaive and EnvNaiveMS name the environment variables with how many configurations more
// of the slow engine the stand-in for cuDNN lists, and with the milliseconds that one takes.
const (
	EnvNaive   = "VICREG_STANDIN_NAIVE"
	EnvNaiveMS = "VICREG_STANDIN_NAIVE_MS"
)

// EnvSums and EnvNoSums name the environment variables with what the stand-in for cuDNN multiplies
// the time of a convolution by where it adds up its result as well, and that leave it no kernel
// for that.
const (
	EnvSums   = "VICREG_STANDIN_SUMS"
	EnvNoSums = "VICREG_STANDIN_NO_SUMS"
)

// EnvLoops names the environment variable that leaves the stand-in for cuDNN nothing but
// the engine of last resort.
const EnvLoops = "VICREG_STANDIN_LOOPS"

// EnvMemory names the environment variable with the bytes of memory that the device has.
const EnvMemory = "VICREG_STANDIN_MEMORY"

// EnvCapability names the environment variable with the major number of the device's
// compute capability.
const EnvCapability = "VICREG_STANDIN_CAPABILITY"

// driver is the only library whose symbols carry no version.
const driver = "libcuda.so.1"

// cudnn is loaded by name, as are its functions.
const cudnn = "libcudnn.so.9"

const nvrtc = "libnvrtc.so.13"

// loaded are libraries that are looked for by name.
var loaded = []string{cudnn, nvrtc}

// Build compiles the libraries of CUDA that the file provider, the runtime's
// libonnxruntime_providers_cuda.so, is linked with or loads, into dir. It needs a C compiler.
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

// named are the functions whose names, beginning with prefix, are among the constants
// of a library: those that it looks up while it runs.
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

// compile makes one library with the given symbols. What testdata defines goes before.
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

// Compiler is the C compiler to use, empty where there is none.
func Compiler() string {
	for _, name := range []string{os.Getenv("CC"), "cc", "gcc", "clang"} {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			return path
		}
	}
	return ""
}

// Environment is the environment of a process that finds the libraries in dir before
// any others.
func Environment(dir string) []string {
	env := slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "LD_LIBRARY_PATH=") })
	return append(env, "LD_LIBRARY_PATH="+strings.TrimSuffix(dir+":"+os.Getenv("LD_LIBRARY_PATH"), ":"))
}
