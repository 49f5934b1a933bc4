package pipeline

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"vicreg/pipeline/usage"
)

// Version prints the version, the revision it was built from and the Go version. The revision is
// only known if the build ran in a checkout.
func Version(_ context.Context, args []string, stdout, _ io.Writer) error {
	fs := usage.Flags(stdout, usage.Text{
		Name:    "version",
		Purpose: "Print the version of vicreg, the revision it was built from and the Go version that built it.",
		Notes:   "The ONNX Runtime in use depends on the machine: see vicreg doctor.",
	})
	if err := usage.Parse(fs, args); err != nil {
		return err
	}
	version, revision := built(debug.ReadBuildInfo())
	_, err := fmt.Fprintf(stdout, "vicreg %s\nrevision %s\n%s %s/%s\n",
		version, revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// built returns the module's version, and the revision with its state.
func built(info *debug.BuildInfo, ok bool) (version, revision string) {
	version, revision = "(devel)", "unknown"
	if !ok {
		return version, revision
	}
	if info.Main.Version != "" {
		version = info.Main.Version
	}
	changed := ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value
		case "vcs.modified":
			if s.Value == "true" {
				changed = " (modified)"
			}
		}
	}
	return version, revision + changed
}
