package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// tree is a folder with scripts/gpu.sh in it, and fake programs.
type tree struct {
	*testing.T
	dir, path string
	env       []string // additional environment of the script
}

// newTree sets up a path with the commands that the script calls and, with withGo, a fake Go that
// creates the programs.
func newTree(t *testing.T, withGo bool) *tree {
	t.Helper()
	for _, name := range []string{"bash", "xz"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not installed", name)
		}
	}
	tr := &tree{T: t, dir: t.TempDir(), path: t.TempDir()}
	script, err := os.ReadFile("../../gpu.sh")
	if err != nil {
		t.Fatal(err)
	}
	tr.write("scripts/gpu.sh", string(script))
	bench := filepath.Join(tr.dir, "bench-gpu")
	tr.write("bench-gpu", fakeBench)
	for _, name := range strings.Fields("bash awk basename cat chmod cp cut date dirname du env find grep head ln ls mkdir mv nproc paste " +
		"readlink realpath rm rmdir sed sha256sum sleep sort split tail tar tee timeout uname wc xargs xz") {
		if found, err := exec.LookPath(name); err == nil {
			if err := os.Symlink(found, filepath.Join(tr.path, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if withGo {
		fake := "#!/usr/bin/env bash\nwhile [ $# -gt 1 ]; do if [ \"$1\" = -o ]; then cp '" + bench + "' \"$2\"; fi; shift; done\n"
		if err := os.WriteFile(filepath.Join(tr.path, "go"), []byte(fake), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return tr
}

// fakeBench has four pieces: one passes, one has a FAIL verdict, one exits with an error and one
// never ends. It records every run.
const fakeBench = `#!/usr/bin/env bash
if [ "$1" = -list ]; then
  printf 'well 20 it goes\nworse 20 it misses\nbroken 20 it breaks\nslow 20 it never ends\n'
  exit 0
fi
echo run >>"runs-$2"
case $2 in
  well) echo "libraries of CUDA: ${VICREG_CUDA_LIBRARIES-none}"; echo "verdict well PASS: 1 of 1"; echo "bench gpu-well x=1" ;;
  worse) echo "verdict worse FAIL: 0.5 (required: 0.8)"; echo "bench gpu-worse x=2" ;;
  broken) exit 1 ;;
  slow) echo begun; sleep 60 ;;
esac
`

func (t *tree) write(name, content string) {
	t.Helper()
	path := filepath.Join(t.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}

// run runs the script and returns what it printed and its exit code.
func (t *tree) run(args ...string) (string, int) {
	t.Helper()
	cmd := exec.Command("bash", append([]string{"scripts/gpu.sh"}, args...)...)
	cmd.Dir = t.dir
	cmd.Env = append([]string{"PATH=" + t.path, "HOME=" + t.dir, "VICREG_TORCH_PYTHON=none",
		"VICREG_ONNXRUNTIME=" + filepath.Join(t.dir, "cuda"), "VICREG_TEST_DATA=" + filepath.Join(t.dir, "data")}, t.env...)
	out, err := cmd.CombinedOutput()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func (t *tree) runs(piece string) int {
	b, _ := os.ReadFile(filepath.Join(t.dir, "runs-"+piece)) // a missing file counts as empty
	return bytes.Count(b, []byte("\n"))
}

// A piece with a result is not run again; one that failed to run is.
func TestScriptResumes(t *testing.T) {
	tr := newTree(t, true)
	out, code := tr.run("run", "--device", "cpu", "--quick", "well", "broken")
	if code != 1 || !strings.Contains(out, "piece broken ERROR 1") || !strings.Contains(out, "verdict well PASS") {
		t.Fatalf("exit %d\n%s", code, out)
	}
	tr.run("run", "--device", "cpu", "--quick", "well", "broken")
	if tr.runs("well") != 1 || tr.runs("broken") != 2 {
		t.Errorf("%d and %d runs", tr.runs("well"), tr.runs("broken"))
	}
	if out, code = tr.run("run", "--device", "cpu", "--quick", "well"); code != 0 || !strings.Contains(out, "all is well") {
		t.Errorf("exit %d\n%s", code, out)
	}
	tr.run("run", "--device", "cpu", "--quick", "--again", "well")
	tr.run("run", "--device", "cpu", "well") // not quick, so other results
	if tr.runs("well") != 3 {
		t.Errorf("%d runs", tr.runs("well"))
	}
	tr.write("bench-gpu", fakeBench+"# changed\n")
	if tr.run("run", "--device", "cpu", "--quick", "well"); tr.runs("well") != 4 {
		t.Error("a result of other programs was taken")
	}
}

func TestScriptVerdicts(t *testing.T) {
	tr := newTree(t, true)
	if out, code := tr.run("run", "--device", "cpu", "worse"); code != 1 || !strings.Contains(out, "NOT ALL IS WELL") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if tr.run("run", "--device", "cpu", "worse"); tr.runs("worse") != 1 {
		t.Error("a verdict is no result")
	}
	if out, code := tr.run("run", "--device", "cpu", "gone"); code != 2 || !strings.Contains(out, "no piece gone") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if _, code := tr.run("run", "--device", "gpu"); code != 2 {
		t.Errorf("exit %d", code)
	}
}

// On a GPU the CUDA libraries come from the Python with PyTorch, if it has them and they are not
// set explicitly.
func TestScriptTakesPyTorchsLibraries(t *testing.T) {
	tr := newTree(t, true)
	site := filepath.Join(tr.dir, "site-packages")
	tr.write("python", "#!/usr/bin/env bash\ncase $2 in *torch*) echo 3.12, PyTorch 2.9 ;; *purelib*) echo '"+site+"' ;; esac\n")
	runs := func(device string, env ...string) string {
		t.Helper()
		tr.env = append([]string{"VICREG_TORCH_PYTHON=" + filepath.Join(tr.dir, "python")}, env...)
		out, code := tr.run("run", "--device", device, "--quick", "--again", "well")
		if code != 0 {
			t.Fatalf("exit %d\n%s", code, out)
		}
		_, after, _ := strings.Cut(out, "libraries of CUDA: ")
		said, _, _ := strings.Cut(after, "\n")
		return said
	}
	if said := runs("cuda"); said != "none" {
		t.Errorf("without any: %s", said)
	}
	tr.write("site-packages/nvidia/cu13/lib/libcudart.so.13", "")
	if said := runs("cuda"); said != site {
		t.Errorf("on cuda: %s", said)
	}
	if said := runs("cpu"); said != "none" {
		t.Errorf("on cpu: %s", said)
	}
	if said := runs("cuda", "VICREG_CUDA_LIBRARIES=/opt/cuda"); said != "/opt/cuda" {
		t.Errorf("where it is set: %s", said)
	}
}

// Pieces that exceed the time are skipped or cut off, and the others still have results.
func TestScriptTime(t *testing.T) {
	tr := newTree(t, true)
	out, code := tr.run("run", "--device", "cpu", "--budget", "1", "slow", "well")
	if code != 1 || !strings.Contains(out, "piece slow CUT OFF") || !strings.Contains(out, "begun") || !strings.Contains(out, "verdict well PASS") {
		t.Errorf("exit %d\n%s", code, out)
	}
	out, code = tr.run("run", "--device", "cpu", "--again", "slow=1", "well")
	if code != 1 || !strings.Contains(out, "piece slow CUT OFF") || !strings.Contains(out, "begin slow key=") || !strings.Contains(out, "seconds=1\n") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if out, code := tr.run("run", "--device", "cpu", "well=soon"); code != 2 {
		t.Errorf("exit %d\n%s", code, out)
	}
	out, code = tr.run("run", "--device", "cpu", "--total", "5", "worse")
	if code != 1 || !strings.Contains(out, "left for another run, for want of time: worse") {
		t.Errorf("exit %d\n%s", code, out)
	}
}

// Unpacking elsewhere restores exactly what was packed, or fails.
func TestScriptPacks(t *testing.T) {
	from := newTree(t, true)
	noise := make([]byte, 3<<20) // random enough to be incompressible
	for i, x := 0, uint64(1); i < len(noise); i++ {
		x = x*6364136223846793005 + 1442695040888963407
		noise[i] = byte(x >> 56)
	}
	from.write("cuda/libonnxruntime.so.1.30.0", "the library")
	from.write("cuda/libonnxruntime_providers_shared.so", "shared")
	from.write("cuda/libonnxruntime_providers_cuda.so", string(noise))
	from.write("data/photos/a.jpg", "a photograph")
	if out, code := from.run("pack", "--part-mb", "1"); code != 0 {
		t.Fatalf("exit %d\n%s", code, out)
	}
	if out, _ := from.run("pack", "--part-mb", "1"); !strings.Contains(out, "lib is packed already") {
		t.Error(out)
	}
	to := newTree(t, false)
	parts := filepath.Join(from.dir, "build/gpu/parts")
	bring := func(pattern string) {
		t.Helper()
		found, _ := filepath.Glob(filepath.Join(parts, pattern))
		for _, path := range found {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			to.write(filepath.Join("build/gpu/parts", filepath.Base(path)), string(b))
		}
		if len(found) == 0 {
			t.Fatalf("no %s in %s", pattern, parts)
		}
	}
	bring("*.sums")
	bring("bin.*")
	bring("photos.*")
	bring("lib.part00")
	if out, code := to.run("unpack"); code != 1 || !strings.Contains(out, "lib: parts are missing") {
		t.Errorf("exit %d\n%s", code, out)
	}
	bring("lib.*")
	if out, code := to.run("unpack"); code != 0 || !strings.Contains(out, "bin is unpacked already") {
		t.Errorf("exit %d\n%s", code, out)
	}
	for name, want := range map[string]string{"lib/libonnxruntime_providers_cuda.so": string(noise),
		"lib/libonnxruntime.so": "the library", "data/photos/a.jpg": "a photograph"} {
		if b, err := os.ReadFile(filepath.Join(to.dir, "build/gpu", name)); err != nil || string(b) != want {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
	}
	if out, code := to.run("run", "--device", "cpu", "well"); code != 0 || !strings.Contains(out, "verdict well PASS") {
		t.Errorf("without Go: exit %d\n%s", code, out)
	}
	to.write("build/gpu/parts/lib.part01", "rotten")
	os.Remove(filepath.Join(to.dir, "build/gpu/lib.unpacked"))
	if out, code := to.run("unpack"); code != 1 {
		t.Errorf("a rotten part: exit %d\n%s", code, out)
	}
}
