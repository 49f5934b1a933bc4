package ort_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"vicreg/models/ort"
)

// TestOpenForTelemetry is the child process of TestTelemetryIsOff.
func TestOpenForTelemetry(t *testing.T) {
	library := os.Getenv("VICREG_TEST_TELEMETRY")
	if library == "" {
		t.Skip("runs as a process of TestTelemetryIsOff")
	}
	if _, err := ort.Open(library); err != nil {
		t.Fatal(err)
	}
}

// The library keeps no telemetry records. It would keep none in continuous integration anyway, so
// that is hidden from it.
func TestTelemetryIsOff(t *testing.T) {
	library, err := ort.Find("")
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestOpenForTelemetry$")
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); name != "CI" && name != "GITHUB_ACTIONS" && name != "ORT_DISABLE_TELEMETRY" && !strings.HasPrefix(name, "XDG_") {
			c.Env = append(c.Env, v)
		}
	}
	c.Env = append(c.Env, "HOME="+home, "VICREG_TEST_TELEMETRY="+library)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := os.Stat(filepath.Join(home, ".cache", "Microsoft")); err == nil {
		t.Error("the library keeps records for its makers")
	}
}
