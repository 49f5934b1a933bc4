package orttest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"vicreg/models/ort"
	"vicreg/models/ort/standin"
	"vicreg/models/tensor"
)

const envStandIn = "VICREG_TEST_STANDIN"

// StandIn runs the calling test in a child process with the library of the CUDA build and
// stand-ins for CUDA's own libraries: sessions on a device open there as they would on a GPU, and
// compute only what our own kernels and cuDNN do. It reports whether this is that process; if
// not, the caller returns, and the test has passed or failed as it did there. Without the CUDA
// build or a C compiler it skips the test.
func StandIn(t *testing.T) bool {
	t.Helper()
	if os.Getenv(envStandIn) == t.Name() {
		return true
	}
	library, err := ort.FindFor("", ort.Device{Kind: tensor.CUDA})
	if err != nil {
		t.Skipf("the CUDA build of ONNX Runtime is not here: scripts/get-onnxruntime.sh --cuda fetches it (%v)", err)
	}
	if standin.Compiler() == "" {
		t.Skip("no C compiler to make the stand-ins with")
	}
	dir := t.TempDir()
	if err := standin.Build(dir, filepath.Join(filepath.Dir(library), "libonnxruntime_providers_cuda.so")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$", "-test.v")
	cmd.Env = append(standin.Environment(dir), envStandIn+"="+t.Name(), ort.EnvLibrary+"="+library, standin.EnvLog+"="+filepath.Join(dir, "log"))
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("with stand-ins for CUDA: %v\n%s", err, out)
	}
	t.Logf("with stand-ins for CUDA:\n%s", out)
	return false
}
