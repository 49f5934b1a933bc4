package ort_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fetcher runs scripts/get-onnxruntime.sh where no program but the named ones
// exists, so that nothing is downloaded.
type fetcher struct{ bin, dir string }

func newFetcher(t *testing.T) *fetcher {
	f := &fetcher{bin: t.TempDir(), dir: filepath.Join(t.TempDir(), "runtime")}
	for _, name := range []string{"awk", "bash", "cat", "chmod", "cp", "cut", "gzip", "ln", "mkdir", "mktemp", "mv", "rm", "sha256sum", "shasum", "tar", "uname"} {
		if path, err := exec.LookPath(name); err == nil {
			if err := os.Symlink(path, filepath.Join(f.bin, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return f
}

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
	script, err := filepath.Abs("../../scripts/get-onnxruntime.sh")
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	cmd := exec.Command(filepath.Join(f.bin, "bash"), append([]string{script, "--dir", f.dir}, args...)...)
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

// archive writes a .tgz with what each source would hold for each platform, all
// of it a library that nobody knows.
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

// TestFetchUnknown offers a library with a checksum that nobody recorded.
func TestFetchUnknown(t *testing.T) {
	f, fake := newFetcher(t), archive(t)
	f.stub(t, "npm", `cp "`+fake+`" onnxruntime-node.tgz`)
	f.stub(t, "curl", `while [ "$1" != --output ]; do shift; done; cp "`+fake+`" "$2"`)

	code, _, stderr := f.run(t)
	if code != 1 || !strings.Contains(stderr, "npm: sha256 is b5d54c39e66671c9731b9f471e585d8262cd4f54963f0c93082d8dcf334d4c78, want") ||
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
	// It is remembered, so the next run needs no network.
	os.Remove(filepath.Join(f.bin, "npm"))
	os.Remove(filepath.Join(f.bin, "curl"))
	if code, _, stderr := f.run(t); code != 0 || !strings.Contains(stderr, "is there") {
		t.Errorf("exit %d, %q", code, stderr)
	}
	code, path, _ := f.run(t, "--print")
	if b, err := os.ReadFile(strings.TrimSpace(path)); code != 0 || err != nil || string(b) != "fake" {
		t.Errorf("exit %d, printed %q: %q, %v", code, path, b, err)
	}
	// Damage is noticed.
	if err := os.WriteFile(strings.TrimSpace(path), []byte("cut"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, path, stderr := f.run(t, "--print"); code != 1 || path != "" || !strings.Contains(stderr, "checksum that is not known") {
		t.Errorf("exit %d, printed %q, %q", code, path, stderr)
	}
}

func TestFetchUsage(t *testing.T) {
	f := newFetcher(t)
	for _, args := range [][]string{{"--nonsense"}, {"--from", "cargo"}, {"--from"}, {"--dir"}} {
		if code, _, stderr := f.run(t, args...); code != 2 || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: exit %d, %q", args, code, stderr)
		}
	}
	code, stdout, _ := f.run(t, "--help")
	if code != 0 || !strings.Contains(stdout, "UNTESTED") || !strings.Contains(stdout, f.dir) {
		t.Errorf("exit %d, help %q", code, stdout)
	}
}
