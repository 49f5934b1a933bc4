package ort_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// fetcher runs scripts/get-onnxruntime.sh with only the named programs on PATH, so that nothing
// is downloaded.
type fetcher struct{ bin, root, dir string }

func newFetcher(t *testing.T) *fetcher {
	f := &fetcher{bin: t.TempDir(), root: t.TempDir(), dir: filepath.Join(t.TempDir(), "runtime")}
	for _, name := range []string{"awk", "bash", "cat", "chmod", "cp", "cut", "dirname", "gzip", "ln", "mkdir", "mktemp", "mv", "rm", "sha256sum", "shasum", "tar", "uname"} {
		if path, err := exec.LookPath(name); err == nil {
			if err := os.Symlink(path, filepath.Join(f.bin, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	text, err := os.ReadFile("../../scripts/get-onnxruntime.sh")
	if err != nil {
		t.Fatal(err)
	}
	// A copy, so that a program built in the checkout is not called.
	if err := os.Mkdir(filepath.Join(f.root, "scripts"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.script(), text, 0o755); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fetcher) script() string { return filepath.Join(f.root, "scripts", "get-onnxruntime.sh") }

// stub adds a program, written in bash.
func (f *fetcher) stub(t *testing.T, name, body string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(f.bin, name), []byte("#!"+filepath.Join(f.bin, "bash")+"\n"+body), 0o755); err != nil {
		t.Fatal(err)
	}
}

// run returns the exit code, standard output and standard error.
func (f *fetcher) run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(filepath.Join(f.bin, "bash"), append([]string{f.script(), "--dir", f.dir}, args...)...)
	cmd.Env = []string{"PATH=" + f.bin, "HOME=" + f.dir}
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// left lists what a run left behind.
func (f *fetcher) left(t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// archive writes a .tgz with the files that each source would hold for each platform, all of them
// a library with an unknown checksum.
func archive(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fake.tgz")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	zip := gzip.NewWriter(file)
	w := tar.NewWriter(zip)
	for _, name := range []string{
		"package/bin/napi-v6/linux/x64/libonnxruntime.so.1", "package/bin/napi-v6/linux/arm64/libonnxruntime.so.1",
		"package/bin/napi-v6/darwin/arm64/libonnxruntime.1.30.0.dylib",
		"onnxruntime-1.30.0/lib/libonnxruntime.so.1.30.0", "onnxruntime-1.30.0/lib/libonnxruntime.1.30.0.dylib",
		"onnxruntime-1.30.0/lib/libonnxruntime_providers_shared.so", "onnxruntime-1.30.0/lib/libonnxruntime_providers_cuda.so",
	} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: 4}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("fake")); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []interface{ Close() error }{w, zip, file} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func TestFetchNoSource(t *testing.T) {
	f := newFetcher(t)
	code, _, stderr := f.run(t)
	for _, want := range []string{"pip: not installed", "npm: not installed", "curl is not installed", "could not get ONNX Runtime"} {
		if code != 1 || !strings.Contains(stderr, want) {
			t.Errorf("exit %d without %q in %q", code, want, stderr)
		}
	}
	if left := f.left(t); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

// TestFetchUnknown offers a library whose checksum is not recorded.
func TestFetchUnknown(t *testing.T) {
	f, fake := newFetcher(t), archive(t)
	f.stub(t, "npm", `cp "`+fake+`" onnxruntime-node.tgz`)
	f.stub(t, "curl", `while [ "$1" != --output ]; do shift; done; cp "`+fake+`" "$2"`)

	code, _, stderr := f.run(t)
	if code != 1 || !strings.Contains(stderr, "npm: sha256 of libonnxruntime.") ||
		!strings.Contains(stderr, " is b5d54c39e66671c9731b9f471e585d8262cd4f54963f0c93082d8dcf334d4c78, want") ||
		!strings.Contains(stderr, "is not recorded") {
		t.Errorf("exit %d, %q", code, stderr)
	}
	if left := f.left(t); left != "" {
		t.Errorf("left behind: %s", left)
	}
	if code, _, stderr := f.run(t, "--from", "npm", "--unverified"); code != 1 {
		t.Errorf("--unverified took an npm package with a wrong checksum: %q", stderr)
	}
	if code, _, stderr := f.run(t, "--from", "release", "--unverified"); code != 0 || !strings.Contains(stderr, "NOT VERIFIED") {
		t.Errorf("exit %d, %q", code, stderr)
	}
	// It is recorded, so the next run needs no network.
	os.Remove(filepath.Join(f.bin, "npm"))
	os.Remove(filepath.Join(f.bin, "curl"))
	if code, _, stderr := f.run(t); code != 0 || !strings.Contains(stderr, "is there") {
		t.Errorf("exit %d, %q", code, stderr)
	}
	code, path, _ := f.run(t, "--print")
	if b, err := os.ReadFile(strings.TrimSpace(path)); code != 0 || err != nil || string(b) != "fake" {
		t.Errorf("exit %d, printed %q: %q, %v", code, path, b, err)
	}
	// Corruption is detected.
	if err := os.WriteFile(strings.TrimSpace(path), []byte("cut"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, path, stderr := f.run(t, "--print"); code != 1 || path != "" || !strings.Contains(stderr, "checksum that is not known") {
		t.Errorf("exit %d, printed %q, %q", code, path, stderr)
	}
}

// TestFetchCUDA handles three files instead of one.
func TestFetchCUDA(t *testing.T) {
	f, fake := newFetcher(t), archive(t)
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		if code, _, stderr := f.run(t, "--cuda"); code != 2 || !strings.Contains(stderr, "linux x64 only") {
			t.Errorf("exit %d, %q", code, stderr)
		}
		return
	}
	// The wheel contains one wrong file.
	f.stub(t, "python3", `case "$*" in
*--version) ;;
*download*manylinux_2_28_x86_64*onnxruntime-gpu==1.30.0) ;;
*zipfile*) mkdir -p "$5/onnxruntime/capi"; for n in .so.1.30.0 _providers_shared.so _providers_cuda.so; do echo >"$5/onnxruntime/capi/libonnxruntime$n"; done ;;
*) exit 1 ;;
esac`)
	f.stub(t, "curl", `while [ "$1" != --output ]; do shift; done; case $3 in *-linux-x64-gpu_cuda13-1.30.0.tgz) cp "`+fake+`" "$2" ;; *) exit 22 ;; esac`)
	code, _, stderr := f.run(t, "--cuda")
	for _, want := range []string{"pip: sha256 of libonnxruntime.so.1.30.0 is", "refused", "release: sha256", "is not recorded", "from pip, release"} {
		if code != 1 || !strings.Contains(stderr, want) || strings.Contains(stderr, "npm") {
			t.Errorf("exit %d without %q in %q", code, want, stderr)
		}
	}
	if left := f.left(t); left != "" {
		t.Errorf("left behind: %s", left)
	}
	f.stub(t, "ldd", `printf '\tlibcublas.so.13 => not found\n\tlibc.so.6 => /lib/libc.so.6 (0x1)\n\tlibcuda.so.1 => not found\n'`)
	code, _, stderr = f.run(t, "--cuda", "--from", "release", "--unverified")
	if code != 0 || !strings.Contains(stderr, "looks: libcublas.so.13 libcuda.so.1\n") || !strings.Contains(stderr, "vicreg doctor --device cuda") {
		t.Errorf("exit %d, %q", code, stderr)
	}
	want := "libonnxruntime.so libonnxruntime.so.1.30.0 libonnxruntime_providers_cuda.so libonnxruntime_providers_shared.so unverified.sha256"
	if left := f.left(t); left != want {
		t.Errorf("left %s, want %s", left, want)
	}
	if code, path, _ := f.run(t, "--cuda", "--print"); code != 0 || path != filepath.Join(f.dir, "libonnxruntime.so.1.30.0\n") {
		t.Errorf("exit %d, printed %q", code, path)
	}
	if code, _, stderr := f.run(t); code != 2 || !strings.Contains(stderr, "holds the build for CUDA") {
		t.Errorf("a fetch for the CPU into that folder: exit %d, %q", code, stderr)
	}
	// Every file is checked.
	for _, name := range []string{"libonnxruntime_providers_shared.so", "libonnxruntime_providers_cuda.so"} {
		path := filepath.Join(f.dir, name)
		if err := os.Rename(path, path+".away"); err != nil {
			t.Fatal(err)
		}
		if code, _, stderr := f.run(t, "--cuda", "--print"); code != 1 || !strings.Contains(stderr, "get-onnxruntime.sh --cuda") {
			t.Errorf("without %s: exit %d, %q", name, code, stderr)
		}
		if err := os.WriteFile(path, []byte("cut"), 0o644); err != nil {
			t.Fatal(err)
		}
		if code, _, stderr := f.run(t, "--cuda", "--print"); code != 1 || !strings.Contains(stderr, "not known") {
			t.Errorf("with a damaged %s: exit %d, %q", name, code, stderr)
		}
		if err := os.Rename(path+".away", path); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFetchAsksTheProgram: if vicreg is built, it reports what CUDA lacks.
func TestFetchAsksTheProgram(t *testing.T) {
	f, fake := newFetcher(t), archive(t)
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		t.Skip("the build for CUDA is for linux x64")
	}
	f.stub(t, "curl", `while [ "$1" != --output ]; do shift; done; cp "`+fake+`" "$2"`)
	f.stub(t, "vicreg", `echo "asked: $*"; exit 1`)
	want := "asked: doctor --device cuda --onnxruntime " + f.dir + "\n"
	for _, args := range [][]string{{"--cuda", "--from", "release", "--unverified"}, {"--cuda"}} {
		code, stdout, stderr := f.run(t, args...)
		if code != 0 || stdout != "" || !strings.Contains(stderr, want) || !strings.Contains(stderr, "does not run on a GPU here yet") {
			t.Errorf("%v: exit %d, %q, %q", args, code, stdout, stderr)
		}
	}
}

func TestFetchUsage(t *testing.T) {
	f := newFetcher(t)
	for _, args := range [][]string{{"--nonsense"}, {"--from", "cargo"}, {"--from"}, {"--dir"}, {"--cuda", "--from", "npm"}} {
		if code, _, stderr := f.run(t, args...); code != 2 || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: exit %d, %q", args, code, stderr)
		}
	}
	code, stdout, _ := f.run(t, "--help")
	if code != 0 || !strings.Contains(stdout, "UNTESTED") || !strings.Contains(stdout, f.dir) {
		t.Errorf("exit %d, help %q", code, stdout)
	}
}
